// How one person's face answers to coefficients that nobody in particular makes: avatars/motion/retarget.py with a plain
// driver. Zero is the person's own resting face; what they never showed is limited softly.

import { Bundle } from "./bundle";
import { apply, Mat3, matrixOf, multiply, Quat, quatOf, quatOfRotvec, rotvecOf, transposed, Vec3 } from "./maths";
import { State } from "./rig";

const JAW_OPEN = 17, MOUTH_CLOSE = 18;

/** Axis-angle in rad and a shift in m, relative to the usual pose, canonical axes. */
export interface HeadPose { rotation?: ArrayLike<number>; translation?: ArrayLike<number> }

/** `value` up to `bound`; beyond, it approaches `bound + margin` without a kink. */
const soften = (value: number, bound: number, margin: number) =>
  value <= bound ? value : bound + margin * Math.tanh((value - bound) / margin);

export class Subject {
  readonly size: number;
  private readonly arrays: Record<string, Float32Array>;
  private readonly restTurn: Mat3;
  private readonly neck: Vec3;

  constructor(bundle: Bundle) {
    this.size = bundle.floats("expression_low", null).length;
    const shapes: Record<string, number[]> = {
      expression_low: [this.size], expression_high: [this.size], arkit: [52, this.size],
      subject_neutral: [52], subject_top: [52], subject_full: [52], subject_base: [this.size], subject_limits: [6],
      subject_shift: [3], torso_turn: [3], rest_rotation: [4], rest_torso_rotation: [4], rest_torso: [3],
    };
    this.arrays = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, bundle.floats(name, ...shape)]));
    this.restTurn = matrixOf(this.quat("rest_rotation"));
    this.neck = Array.from(bundle.floats("joints").subarray(0, 3)) as Vec3;
  }

  private quat(name: string): Quat {
    return Array.from(this.arrays[name]) as Quat;
  }

  /** The face state of 52 coefficients. */
  expression(coefficients: ArrayLike<number>): Float32Array {
    const { arrays, size } = this, neutral = arrays.subject_neutral, [margin, seal] = arrays.subject_limits;
    const out = new Float32Array(52), state = Float32Array.from(arrays.subject_base);
    for (let c = 0; c < 52; c++) {
      const moved = neutral[c] + Math.min(Math.max(coefficients[c], 0), 1);
      const limited = arrays.subject_full[c] ? moved : soften(moved, arrays.subject_top[c], margin);
      out[c] = Math.min(Math.max(limited, 0), 1);
    }
    out[MOUTH_CLOSE] = Math.min(out[MOUTH_CLOSE], Math.max(out[JAW_OPEN] + seal, 0));
    for (let c = 0; c < 52; c++) {
      const change = out[c] - neutral[c];
      if (change) for (let e = 0; e < size; e++) state[e] += change * arrays.arkit[c * size + e];
    }
    return state.map((x, e) => Math.min(Math.max(x, arrays.expression_low[e]), arrays.expression_high[e]));
  }

  /** The whole state: the head limited to turns and shifts that look right, the torso going along a little. */
  state(coefficients: ArrayLike<number>, head: HeadPose = {}): State {
    const { arrays } = this, [, , turnBound, turnMargin, shiftMargin, torsoShift] = arrays.subject_limits;
    const turn = Array.from(head.rotation ?? [0, 0, 0]), angle = Math.hypot(...turn);
    const share = angle > 0 ? soften(angle, turnBound, turnMargin) / angle : 1;
    const rotation = multiply(this.restTurn, matrixOf(quatOfRotvec(turn.map((x) => x * share))));
    const translation = Array.from(head.translation ?? [0, 0, 0]).map((x, i) =>
      Math.sign(x) * soften(Math.abs(x), arrays.subject_shift[i], shiftMargin)) as Vec3;
    const lean = rotvecOf(multiply(rotation, transposed(this.restTurn))).map((x, i) => x * arrays.torso_turn[i]);
    const resting = apply(this.restTurn, this.neck);
    const moved = apply(rotation, this.neck).map((x, i) => x + translation[i] - resting[i]);
    return {
      expression: this.expression(coefficients), rotation: quatOf(rotation), translation,
      torsoRotation: quatOf(multiply(matrixOf(quatOfRotvec(lean)), matrixOf(this.quat("rest_torso_rotation")))),
      torso: moved.map((x, i) => arrays.rest_torso[i] + torsoShift * x) as Vec3,
    };
  }
}
