// Cameras: the capture's own, an orbit that starts from it, and a headset's eyes.

import { CameraJson } from "./bundle";
import { apply, cross, Mat3, multiply, transposed, unit, Vec3 } from "./maths";
import { View } from "./splats";

const YAW = 0.8, PITCH = 0.6;

/** camera_from_canonical of a camera at `eye` whose axes are the columns of `turn` (right, down, forward). */
function view(turn: Mat3, eye: Vec3, intrinsics: View["intrinsics"], width: number, height: number): View {
  const r = transposed(turn), t = apply(r, eye);
  const matrix = Float32Array.from([r[0], r[3], r[6], 0, r[1], r[4], r[7], 0, r[2], r[5], r[8], 0, -t[0], -t[1], -t[2], 1]);
  return { matrix, intrinsics, width, height };
}

/** Walks round the head at the capture's distance; dragging turns, pinching and the wheel come closer. */
export class Orbit {
  yaw = 0;
  pitch = 0;
  zoom = 1;
  private readonly turn: Mat3;
  private readonly eye: Vec3;
  private readonly target: Vec3;

  constructor(readonly captured: CameraJson) {
    const m = captured.world_from_camera;
    this.turn = [0, 1, 2].flatMap((i) => [m[i][0], m[i][1], m[i][2]]);
    this.eye = [m[0][3], m[1][3], m[2][3]];
    const forward: Vec3 = [m[0][2], m[1][2], m[2][2]];
    // Turn about the point of the optical axis nearest to the middle of the face, 5 cm in front of the head's origin.
    const along = forward.reduce((sum, f, i) => sum + f * ((i === 2 ? 0.05 : 0) - this.eye[i]), 0);
    this.target = this.eye.map((x, i) => x + forward[i] * along) as Vec3;
  }

  reset(): void {
    this.yaw = this.pitch = 0;
    this.zoom = 1;
  }

  rotate(yaw: number, pitch: number): void {
    this.yaw = Math.min(Math.max(this.yaw + yaw, -YAW), YAW);
    this.pitch = Math.min(Math.max(this.pitch + pitch, -PITCH), PITCH);
  }

  scale(factor: number): void {
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.4), 6);
  }

  private rotation(): Mat3 {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    return multiply([cy, 0, sy, 0, 1, 0, -sy, 0, cy], [1, 0, 0, 0, cp, -sp, 0, sp, cp]);
  }

  /** Where the camera is, m. */
  position(): Vec3 {
    const r = this.rotation(), out = apply(r, this.eye.map((x, i) => x - this.target[i]));
    return out.map((x, i) => x + this.target[i]) as Vec3;
  }

  /** The capture's picture fitted into width × height px, of which `covered` px on the right are hidden. */
  view(width: number, height: number, covered = 0): View {
    const turn = multiply(this.rotation(), this.turn), free = width - covered;
    const intrinsics = this.intrinsics(free < 0.4 * width ? width : free, height, this.zoom);
    return view(turn, this.position(), intrinsics, width, height);
  }

  /** As captured, whatever the user did since. */
  capturedView(width: number, height: number): View {
    return view(this.turn, this.eye, this.intrinsics(width, height, 1), width, height);
  }

  private intrinsics(width: number, height: number, zoom: number): View["intrinsics"] {
    const c = this.captured, scale = Math.min(width / c.width, height / c.height) * zoom;
    return [
      c.fx * scale, c.fy * scale,
      width / 2 + (c.cx - c.width / 2) * scale, height / 2 + (c.cy - c.height / 2) * scale,
    ];
  }
}

/** An eye of a headset: its pose and projection (column-major, as WebXR gives them), with the head placed at `place`. */
export function eyeView(pose: Float32Array, projection: Float32Array, place: Vec3, width: number, height: number): View {
  // WebXR's camera looks along -z with y up; ours along +z with y down.
  const turn: Mat3 = [0, 1, 2].flatMap((i) => [pose[i], -pose[4 + i], -pose[8 + i]]);
  const eye: Vec3 = [pose[12] - place[0], pose[13] - place[1], pose[14] - place[2]];
  const intrinsics: View["intrinsics"] = [
    (projection[0] * width) / 2, (projection[5] * height) / 2,
    ((1 - projection[8]) * width) / 2, ((1 + projection[9]) * height) / 2,
  ];
  return view(turn, eye, intrinsics, width, height);
}

/** A camera at `eye` that looks at `target`, y up; for tests and thumbnails. */
export function lookAt(eye: Vec3, target: Vec3, focal: number, width: number, height: number): View {
  const forward = unit(target.map((x, i) => x - eye[i]) as Vec3);
  const right = unit(cross(forward, [0, 1, 0]));
  const down = cross(forward, right);
  const turn: Mat3 = [0, 1, 2].flatMap((i) => [right[i], down[i], forward[i]]);
  return view(turn, eye, [focal, focal, width / 2, height / 2], width, height);
}
