// Cameras: the capture's own, an orbit that starts from it, and a headset's eyes.

import { CameraJson } from "./bundle";
import { apply, cross, Mat3, multiply, transposed, unit, Vec3 } from "./maths";
import { View } from "./splats";

const YAW = 0.8, PITCH = 0.6, FILL = 1.4;

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

  /** The capture's picture fitted into width × height px, of which some on the right and at the bottom are hidden. */
  view(width: number, height: number, right = 0, bottom = 0): View {
    const turn = multiply(this.rotation(), this.turn), { captured: c, zoom } = this;
    const w = Math.max(width - right, 0.4 * width), h = Math.max(height - bottom, 0.4 * height);
    // A tall window shows the face larger, and the picture stands on its lower edge: below there is no body.
    const scale = Math.min(Math.min(w / c.width, h / c.height) * FILL, Math.max(w / c.width, h / c.height));
    const fitted = w < h ? scale : Math.min(w / c.width, h / c.height), drop = Math.max(h - fitted * c.height, 0) / 2;
    const [x, y] = [(c.cx - c.width / 2) * fitted, (c.cy - c.height / 2) * fitted + drop];
    return view(turn, this.position(), [c.fx * fitted * zoom, c.fy * fitted * zoom, w / 2 + x * zoom, h / 2 + y * zoom], width, height);
  }

  /** As captured, whatever the user did since. */
  capturedView(width: number, height: number): View {
    const c = this.captured, scale = Math.min(width / c.width, height / c.height);
    const middle = [width / 2 + (c.cx - c.width / 2) * scale, height / 2 + (c.cy - c.height / 2) * scale] as const;
    return view(this.turn, this.eye, [c.fx * scale, c.fy * scale, ...middle], width, height);
  }

  /** The capture's camera and its picture, for `Splats.edge`. */
  edge(): { matrix: Float32Array; frame: [number, number, number, number] } {
    const c = this.captured;
    return {
      matrix: this.capturedView(c.width, c.height).matrix,
      frame: [c.fx / c.width, c.fy / c.height, c.cx / c.width, c.cy / c.height],
    };
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
