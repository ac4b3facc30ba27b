// A recorded motion: rows in time, interpolated.

import { Bundle } from "./bundle";
import { Quat, slerp, Vec3 } from "./maths";
import { State } from "./rig";

export class Motion {
  readonly duration: number;
  readonly count: number;
  private readonly times: Float32Array;
  private readonly expression: Float32Array;
  private readonly rotation: Float32Array;
  private readonly translation: Float32Array;
  private readonly torsoRotation: Float32Array;
  private readonly torso: Float32Array;

  constructor(bundle: Bundle, private readonly size: number) {
    this.times = bundle.floats("motion_times", null);
    this.count = this.times.length;
    this.expression = bundle.floats("motion_expression", this.count, size);
    this.rotation = bundle.floats("motion_rotation", this.count, 4);
    this.translation = bundle.floats("motion_translation", this.count, 3);
    this.torsoRotation = bundle.floats("motion_torso_rotation", this.count, 4);
    this.torso = bundle.floats("motion_torso", this.count, 3);
    this.duration = this.count ? this.times[this.count - 1] : 0;
  }

  /** One recorded row. */
  row(i: number): State {
    const quat = (table: Float32Array) => Array.from(table.subarray(4 * i, 4 * i + 4)) as Quat;
    const vec = (table: Float32Array) => Array.from(table.subarray(3 * i, 3 * i + 3)) as Vec3;
    return {
      expression: this.expression.slice(this.size * i, this.size * (i + 1)),
      rotation: quat(this.rotation), translation: vec(this.translation),
      torsoRotation: quat(this.torsoRotation), torso: vec(this.torso),
    };
  }

  /** The state at a time in s, within the recording. */
  at(time: number): State {
    let high = this.times.findIndex((t) => t >= time);
    if (high < 0) high = this.count - 1;
    if (high === 0 || this.times[high] === time) return this.row(high);
    const low = high - 1, a = this.row(low), b = this.row(high);
    const share = (time - this.times[low]) / (this.times[high] - this.times[low]);
    return blend(a, b, share);
  }
}

/** Between two states. */
export function blend(a: State, b: State, share: number): State {
  const mix = (x: Vec3, y: Vec3) => x.map((v, i) => v + share * (y[i] - v)) as Vec3;
  return {
    expression: a.expression.map((x, i) => x + share * (b.expression[i] - x)),
    rotation: slerp(a.rotation, b.rotation, share), translation: mix(a.translation, b.translation),
    torsoRotation: slerp(a.torsoRotation, b.torsoRotation, share), torso: mix(a.torso, b.torso),
  };
}
