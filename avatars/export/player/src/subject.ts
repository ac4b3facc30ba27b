// How one person's face answers to coefficients that nobody in particular makes: the tables of response.py. Zero is the
// person's own resting face; what they never showed is limited softly.

import { Bundle } from "./bundle";
import { Mat3, matrixOf, multiply, Quat, quatOf, quatOfRotvec, Vec3 } from "./maths";
import { State } from "./rig";

const JAW_OPEN = 17, MOUTH_CLOSE = 18, SAMPLES = 65;

/** Axis-angle in rad and a shift in m, relative to the usual pose, canonical axes. */
export interface HeadPose { rotation?: ArrayLike<number>; translation?: ArrayLike<number> }

/** A curve's value at a share of its length; beyond its ends, the end. */
function along(curve: Float32Array, row: number, share: number): number {
  const x = Math.min(Math.max(share, 0), 1) * (SAMPLES - 1), low = Math.min(Math.floor(x), SAMPLES - 2);
  const at = row * SAMPLES + low;
  return curve[at] + (x - low) * (curve[at + 1] - curve[at]);
}

export class Subject {
  readonly size: number;
  private readonly arrays: Record<string, Float32Array>;
  private readonly restTurn: Mat3;

  constructor(bundle: Bundle) {
    this.size = bundle.floats("expression_low", null).length;
    const shapes: Record<string, number[]> = {
      expression_low: [this.size], expression_high: [this.size], arkit: [52, this.size],
      subject_curves: [52, SAMPLES], subject_state: [this.size], subject_seal: [1],
      subject_press: [2], lip_gap: [52],
      turn_curve: [SAMPLES], shift_curves: [3, SAMPLES], curve_ends: [2], torso_fit: [27, 6],
      rest_rotation: [4], rest_torso_rotation: [4], rest_torso: [3],
    };
    this.arrays = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, bundle.floats(name, ...shape)]));
    this.restTurn = matrixOf(Array.from(this.arrays.rest_rotation) as Quat);
  }

  /** The face state of 52 coefficients. */
  expression(coefficients: ArrayLike<number>): Float32Array {
    const { arrays, size } = this, curves = arrays.subject_curves;
    const own = Array.from({ length: 52 }, (_, c) => along(curves, c, coefficients[c]));
    const rest = Array.from({ length: 52 }, (_, c) => curves[c * SAMPLES]);
    for (const values of [own, rest])
      values[MOUTH_CLOSE] = Math.min(values[MOUTH_CLOSE], Math.max(values[JAW_OPEN] + arrays.subject_seal[0], 0));
    // Lips that rest ajar are drawn shut where nothing is to part them.
    const [press, parted] = arrays.subject_press;
    const apart = arrays.lip_gap.reduce((sum, gap, c) => sum + gap * coefficients[c], 0);
    const shut = Math.min(Math.max(1 - Math.max(apart, 0) / parted, 0), 1);
    const held = own[MOUTH_CLOSE] - rest[MOUTH_CLOSE] - (own[JAW_OPEN] - rest[JAW_OPEN]);
    own[MOUTH_CLOSE] += shut * Math.max(press - Math.max(held, 0), 0);
    const state = Float32Array.from(arrays.subject_state);
    for (let c = 0; c < 52; c++) {
      const change = own[c] - rest[c];
      if (change) for (let e = 0; e < size; e++) state[e] += change * arrays.arkit[c * size + e];
    }
    return state.map((x, e) => Math.min(Math.max(x, arrays.expression_low[e]), arrays.expression_high[e]));
  }

  /** The whole state: the head limited to turns and shifts that look right, the torso going along as it used to. */
  state(coefficients: ArrayLike<number>, head: HeadPose = {}): State {
    const { arrays } = this, [mostTurn, mostShift] = arrays.curve_ends;
    const asked = Array.from(head.rotation ?? [0, 0, 0]), angle = Math.hypot(...asked);
    const share = angle > 0 ? along(arrays.turn_curve, 0, angle / mostTurn) / angle : 1;
    const turn = asked.map((x) => x * share);
    const shift = Array.from(head.translation ?? [0, 0, 0]).map((x, i) =>
      Math.sign(x) * along(arrays.shift_curves, i, Math.abs(x) / mostShift));
    const [torsoTurn, torsoShift] = this.torso(turn, shift);
    const resting = matrixOf(Array.from(arrays.rest_torso_rotation) as Quat);
    return {
      expression: this.expression(coefficients),
      rotation: quatOf(multiply(this.restTurn, matrixOf(quatOfRotvec(turn)))), translation: shift as Vec3,
      torsoRotation: quatOf(multiply(matrixOf(quatOfRotvec(torsoTurn)), resting)),
      torso: torsoShift.map((x, i) => arrays.rest_torso[i] + x) as Vec3,
    };
  }

  /** Turn and shift of the torso for those of the head. */
  private torso(turn: number[], shift: number[]): [number[], number[]] {
    const x = [...turn, ...shift.map((s) => 10 * s)], inputs = [...x];
    for (let i = 0; i < 6; i++) for (let j = i; j < 6; j++) inputs.push(x[i] * x[j]);
    const out = new Array<number>(6).fill(0);
    inputs.forEach((value, i) => out.forEach((_, k) => (out[k] += value * this.arrays.torso_fit[6 * i + k])));
    return [out.slice(0, 3), out.slice(3)];
  }
}
