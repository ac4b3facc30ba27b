// The head on the CPU: sparse morphs, five joints, tangents, and the network. Under a millisecond for a face at work,
// because coefficients that are zero cost nothing; the splats, of which there are many more, are moved on the GPU.

import { Bundle, PlayerError, Values } from "./bundle";
import { apply, Mat3, matrixOf, multiply, Quat, quatOfRotvec, rotvecOf, transposed, Vec3 } from "./maths";

const JOINTS = 5;

/** What a face and body do at one moment, in canonical space. */
export interface State {
  expression: Float32Array;
  rotation: Quat;
  translation: Vec3;
  torsoRotation: Quat;
  /** Where the base of the neck is, m. */
  torso: Vec3;
}

interface Sparse { start: Values; index: Values; delta: Float32Array }

/** Vertices and tangents of a state, ready for a texture: position, T and S in turn, four floats each. */
export class Rig {
  readonly vertices: number;
  readonly size: number;
  private readonly template: Float32Array;
  private readonly morph: Sparse;
  private readonly corrective: Sparse;
  private readonly skinning: Float32Array;
  private readonly joints: Float32Array;
  private readonly jointExpression: Float32Array;
  private readonly jointTurn: Float32Array;
  private readonly ringStart: Values;
  private readonly ringIndex: Values;
  private readonly ring: Float32Array;
  private readonly posed: Float32Array;
  private readonly frame: Mat3;
  private readonly bones = new Float64Array(12 * JOINTS);

  constructor(bundle: Bundle) {
    this.template = bundle.floats("template", null, 3);
    this.vertices = this.template.length / 3;
    this.size = bundle.floats("expression_low").length;
    this.morph = this.sparse(bundle, "morph");
    this.corrective = this.sparse(bundle, "corrective");
    const correctives = this.corrective.start.length - 1;
    if (this.morph.start.length !== this.size + 1 || (correctives !== 0 && correctives !== 9 * (JOINTS - 1)))
      throw new PlayerError("The avatar file is damaged: its morphs do not fit its face.");
    this.skinning = bundle.floats("skinning", this.vertices, JOINTS);
    this.joints = bundle.floats("joints", JOINTS, 3);
    this.jointExpression = bundle.floats("joint_expression", this.size, JOINTS, 3);
    this.jointTurn = bundle.floats("joint_turn", this.size, JOINTS, 3);
    this.ringIndex = bundle.indices("ring_index", this.vertices);
    this.ringStart = bundle.starts("ring_start", this.ringIndex.length);
    this.ring = bundle.floats("ring", this.ringIndex.length, 2);
    if (this.ringStart.length !== this.vertices + 1) throw new PlayerError("The avatar file is damaged: its rings are cut.");
    this.frame = Array.from(bundle.floats("state_frame", 3, 3));
    this.posed = new Float32Array(3 * this.vertices);
  }

  private sparse(bundle: Bundle, name: string): Sparse {
    const index = bundle.indices(`${name}_index`, this.vertices);
    const delta = bundle.floats(`${name}_delta`, index.length, 3);
    return { start: bundle.starts(`${name}_start`, index.length), index, delta };
  }

  /** Write three layers of `stride` floats each (4 per vertex) into `out`. */
  evaluate(state: State, out: Float32Array, stride: number): void {
    this.pose(state);
    const { posed, ringStart, ringIndex, ring, vertices } = this;
    for (let v = 0; v < vertices; v++) {
      const x = posed[3 * v], y = posed[3 * v + 1], z = posed[3 * v + 2];
      let tx = 0, ty = 0, tz = 0, sx = 0, sy = 0, sz = 0;
      for (let k = ringStart[v]; k < ringStart[v + 1]; k++) {
        const j = 3 * ringIndex[k], t = ring[2 * k], s = ring[2 * k + 1];
        const dx = posed[j] - x, dy = posed[j + 1] - y, dz = posed[j + 2] - z;
        tx += t * dx; ty += t * dy; tz += t * dz;
        sx += s * dx; sy += s * dy; sz += s * dz;
      }
      const a = 4 * v, b = stride + a, c = 2 * stride + a;
      out[a] = x; out[a + 1] = y; out[a + 2] = z;
      out[b] = tx; out[b + 1] = ty; out[b + 2] = tz;
      out[c] = sx; out[c + 1] = sy; out[c + 2] = sz;
    }
  }

  /** Posed vertices, in place: morphs, correctives and linear blend skinning. */
  private pose(state: State): void {
    const { posed, bones, skinning, vertices } = this;
    posed.set(this.template);
    for (let e = 0; e < this.size; e++) add(posed, this.morph, e, state.expression[e]);
    const turns = this.turns(state.expression);
    const head = matrixOf(state.rotation), torso = matrixOf(state.torsoRotation);
    if (this.corrective.start.length > 1) {
      const matrices = [multiply(transposed(torso), head), turns[2], turns[3], turns[4]];
      matrices.forEach((m, j) => m.forEach((value, i) =>
        add(posed, this.corrective, 9 * j + i, value - (i % 4 === 0 ? 1 : 0))));
    }
    this.setBones(state, turns, head, torso);
    for (let v = 0; v < vertices; v++) {
      const x = posed[3 * v], y = posed[3 * v + 1], z = posed[3 * v + 2];
      let px = 0, py = 0, pz = 0;
      for (let j = 0; j < JOINTS; j++) {
        const w = skinning[JOINTS * v + j];
        if (w === 0) continue;
        const b = 12 * j;
        px += w * (bones[b] * x + bones[b + 1] * y + bones[b + 2] * z + bones[b + 3]);
        py += w * (bones[b + 4] * x + bones[b + 5] * y + bones[b + 6] * z + bones[b + 7]);
        pz += w * (bones[b + 8] * x + bones[b + 9] * y + bones[b + 10] * z + bones[b + 11]);
      }
      posed[3 * v] = px; posed[3 * v + 1] = py; posed[3 * v + 2] = pz;
    }
  }

  /** Rotation of each joint by the expression. */
  private turns(expression: Float32Array): Mat3[] {
    const sum = this.weighted(this.jointTurn, expression);
    return Array.from({ length: JOINTS }, (_, j) => matrixOf(quatOfRotvec(sum.slice(3 * j, 3 * j + 3))));
  }

  private weighted(table: Float32Array, expression: Float32Array): number[] {
    const sum = new Array<number>(3 * JOINTS).fill(0);
    for (let e = 0; e < this.size; e++) {
      if (expression[e] === 0) continue;
      for (let i = 0; i < 3 * JOINTS; i++) sum[i] += expression[e] * table[3 * JOINTS * e + i];
    }
    return sum;
  }

  private setBones(state: State, turns: Mat3[], head: Mat3, torso: Mat3): void {
    const moved = this.weighted(this.jointExpression, state.expression);
    const joint = (j: number): Vec3 => [0, 1, 2].map((i) => this.joints[3 * j + i] + moved[3 * j + i]) as Vec3;
    const base = joint(0), shift = apply(transposed(this.frame), moved.slice(0, 3)), turned = apply(torso, base);
    this.setBone(0, torso, state.torso.map((x, i) => x + shift[i] - turned[i]) as Vec3);
    this.setBone(1, head, state.translation);
    for (let j = 2; j < JOINTS; j++) {
      const pivot = joint(j), gone = apply(turns[j], pivot);
      const place = apply(head, pivot.map((x, i) => x - gone[i]));
      this.setBone(j, multiply(head, turns[j]), place.map((x, i) => x + state.translation[i]) as Vec3);
    }
  }

  private setBone(j: number, turn: Mat3, place: Vec3): void {
    for (let i = 0; i < 3; i++) {
      for (let k = 0; k < 3; k++) this.bones[12 * j + 4 * i + k] = turn[3 * i + k];
      this.bones[12 * j + 4 * i + 3] = place[i];
    }
  }
}

function add(posed: Float32Array, table: Sparse, row: number, weight: number): void {
  if (Math.abs(weight) < 1e-7) return;
  const { start, index, delta } = table;
  for (let k = start[row]; k < start[row + 1]; k++) {
    const v = 3 * index[k], d = 3 * k;
    posed[v] += weight * delta[d];
    posed[v + 1] += weight * delta[d + 1];
    posed[v + 2] += weight * delta[d + 2];
  }
}

/** A matrix, row by row, times a vector. */
function product(matrix: Float32Array, x: Float32Array): Float32Array {
  const out = new Float32Array(matrix.length / x.length);
  for (let i = 0; i < out.length; i++) for (let k = 0; k < x.length; k++) out[i] += matrix[i * x.length + k] * x[k];
  return out;
}

/** The small network: a state to the weights of the learned bases. */
export class Network {
  readonly bases: number;
  private readonly layers: { weight: Float32Array; bias: Float32Array }[];
  private readonly cloud: { center: Float32Array; whiten: Float32Array };
  private readonly turn: Float32Array;
  private readonly input: Float32Array;
  private readonly arrays: Record<string, Float32Array>;

  constructor(bundle: Bundle) {
    this.layers = [0, 2, 4].map((i) => ({
      weight: bundle.floats(`network_${i}_weight`, null, null), bias: bundle.floats(`network_${i}_bias`, null),
    }));
    const names = ["rotation", "translation", "neck", "frame", "inverse", "low", "high", "limits"];
    this.arrays = Object.fromEntries(names.map((name) => [name, bundle.floats(`state_${name}`)]));
    this.input = new Float32Array(this.arrays.low.length + 9);
    let width = this.input.length;
    for (const { weight, bias } of this.layers) {
      if (weight.length !== bias.length * width) throw new PlayerError("The avatar file is damaged: its network does not fit.");
      width = bias.length;
    }
    const center = bundle.floats("weights_center", width);
    this.cloud = { center, whiten: bundle.floats("weights_whiten", width, width) };
    this.turn = bundle.floats("weights_turn", null, width);
    this.bases = this.turn.length / width;
  }

  /** Weights of the bases. */
  run(state: State): Float32Array {
    this.setInput(state);
    let x = this.input;
    this.layers.forEach(({ weight, bias }, layer) => {
      const y = Float32Array.from(bias);
      for (let i = 0; i < y.length; i++) {
        let sum = y[i];
        for (let k = 0; k < x.length; k++) sum += weight[i * x.length + k] * x[k];
        y[i] = layer === 2 ? sum : sum / (1 + Math.exp(-sum));
      }
      x = y;
    });
    this.hold(x);
    return product(this.turn, x);
  }

  /** Combinations of motions that the film never showed stay at the edge of what it did show. */
  private hold(weights: Float32Array): void {
    const { center, whiten } = this.cloud;
    const distance = Math.hypot(...product(whiten, weights.map((w, i) => w - center[i])));
    if (distance > 1) weights.forEach((w, i) => (weights[i] = center[i] + (w - center[i]) / distance));
  }

  private setInput({ expression, rotation, translation, torsoRotation }: State): void {
    const { input, arrays } = this, [gain, limit] = arrays.limits, size = arrays.low.length;
    for (let e = 0; e < size; e++)
      input[e] = gain * Math.min(Math.max(expression[e], arrays.low[e]), arrays.high[e]);
    const head = matrixOf(rotation), frame = Array.from(arrays.frame);
    const neck = multiply(transposed(matrixOf(torsoRotation)), head);
    const pose = [
      ...apply(frame, rotvecOf(multiply(head, transposed(Array.from(arrays.rotation))))),
      ...apply(frame, translation).map((x, i) => x - arrays.translation[i]),
      ...rotvecOf(multiply(neck, transposed(Array.from(arrays.neck)))),
    ];
    pose.forEach((x, i) => (input[size + i] = limit * Math.tanh((x * arrays.inverse[i]) / limit)));
  }
}
