// The speech network of avatars/speech/runtime.py, frame by frame, and the mouth that it moves.

import { Bundle, PlayerError } from "./bundle";
import { EMOTIONS, Offsets } from "./emotion";
import { Drone } from "./drone";
import { Inhale } from "./inhale";
import { Heard, Prosody } from "./prosody";
import { FrontEnd, INPUTS } from "./sound";

/** One 20 ms frame of speech, and what was heard in it. */
export interface Spoken { curves: Float32Array; classes: Float32Array; input: Float32Array }

/** What it does to the face: coefficients before any emotion, how far the lips are to part, and the prosody. */
export interface Said { face: Float32Array; parted: number; heard: Heard }

const silu = (x: number) => x / (1 + Math.exp(-x));
const CURVES = 11, VISEMES = 14, CLASSES = 6, QUIET = 0, LAUGH = 2, SING = 5;
const GUARDED = 0.3; // lip gap below which nothing may part the lips of a speaker

class Linear {
  private readonly weight: Float32Array;
  private readonly bias: Float32Array;

  constructor(bundle: Bundle, name: string, readonly inputs: number, readonly outputs: number) {
    this.bias = bundle.floats(`${name}_bias`, outputs);
    this.weight = bundle.floats(`${name}_weight`);
    if (this.weight.length !== inputs * outputs) throw new PlayerError("The speech file is damaged: its layers do not fit.");
  }

  run(x: Float32Array): Float32Array {
    const { weight, inputs } = this, out = Float32Array.from(this.bias);
    for (let i = 0, w = 0; i < out.length; i++) {
      let sum = 0;
      for (let k = 0; k < inputs; k++) sum += weight[w++] * x[k];
      out[i] += sum;
    }
    return out;
  }
}

export class Voice {
  private readonly front: FrontEnd;
  private readonly entry: Linear;
  private readonly convs: Linear[];
  private readonly head: Linear;
  private readonly norm: [Float32Array, Float32Array];
  private readonly usual: Float32Array;
  private readonly felt: Float32Array;
  private film: Float32Array;
  /** What emotions add. */
  readonly offsets: Offsets;
  private readonly modulated: number[];
  private readonly dilations: number[];
  private readonly past: Float32Array[][];
  private readonly range: number;
  private readonly map: Float32Array;
  private readonly faces: Float32Array;
  private readonly style: { gain: Float32Array; bias: Float32Array; reach: Float32Array; gap: number };
  private readonly lips: Float32Array;
  private readonly close: number;
  private readonly certainty = new Float64Array(CLASSES);
  private readonly inhale: Inhale;
  private readonly drone = new Drone();
  private readonly prosody = new Prosody();
  private waiting: Float32Array[] = [];
  private skipped = 0;
  /** Frames that an answer waits for. */
  readonly ahead: number;

  constructor(bundle: Bundle) {
    const norm = bundle.floats("norm_weight", null), channels = norm.length;
    this.front = new FrontEnd(bundle);
    this.entry = new Linear(bundle, "entry", INPUTS, channels);
    this.norm = [norm, bundle.floats("norm_bias", channels)];
    this.dilations = Array.from(bundle.floats("dilations", null));
    this.modulated = Array.from(bundle.floats("modulated", null));
    this.convs = this.dilations.map((_, i) => new Linear(bundle, `conv_${i}`, 3 * channels, channels));
    this.film = this.usual = bundle.floats("film", this.modulated.length, 2, channels);
    this.felt = bundle.floats("emotion_film", EMOTIONS.length, this.film.length);
    this.offsets = new Offsets(bundle);
    this.head = new Linear(bundle, "head", channels, VISEMES + CURVES + CLASSES);
    this.range = bundle.floats("curve_range", 1)[0];
    this.ahead = bundle.floats("look_ahead", 1)[0];
    this.map = bundle.floats("arkit", CURVES, 52);
    this.faces = bundle.floats("faces", CLASSES, 52);
    this.style = {
      gain: bundle.floats("style_gain", CURVES), bias: bundle.floats("style_bias", CURVES),
      reach: bundle.floats("gap_reach", CURVES), gap: Number(bundle.indices("gap", CURVES)[0]),
    };
    this.inhale = new Inhale(bundle, INPUTS, CURVES);
    this.lips = bundle.floats("lip_gap", 52);
    this.close = Number(bundle.indices("mouth_close", 52)[0]);
    this.past = this.dilations.map((d) => Array.from({ length: 2 * d }, () => new Float32Array(channels)));
  }

  /** Articulate as in an emotion, from the next frame on. */
  feel(emotion: Float32Array): void {
    const size = this.usual.length;
    this.film = this.usual.map((x, i) => emotion.reduce((sum, weight, e) => sum + weight * this.felt[size * e + i], x));
  }

  /** Frames that these 16 kHz samples complete; the first is of time 0. */
  feed(pcm: Float32Array): Spoken[] {
    const out: Spoken[] = [];
    for (const input of this.front.feed(pcm)) {
      this.waiting.push(input);
      const spoken = this.step(input);
      if (this.skipped < this.ahead) this.skipped++;
      else out.push({ ...spoken, input: this.waiting.shift()! });
    }
    return out;
  }

  private step(input: Float32Array): Omit<Spoken, "input"> {
    let h = this.normalised(this.entry.run(input).map(silu));
    const channels = h.length, joined = new Float32Array(3 * channels);
    this.convs.forEach((conv, i) => {
      const past = this.past[i], d = this.dilations[i];
      joined.set(past[0]);
      joined.set(past[d], channels);
      joined.set(h, 2 * channels);
      past.push(h);
      past.shift();
      const y = conv.run(joined), m = this.modulated.indexOf(i), film = 2 * channels * m;
      h = h.map((x, c) => x + 0.5 * silu(m < 0 ? y[c] : y[c] * (1 + this.film[film + c]) + this.film[film + channels + c]));
    });
    const out = this.head.run(h);
    const open = 1 - this.drone.tick(input);
    const curves = out.slice(VISEMES, VISEMES + CURVES).map((x) => (open * this.range) / (1 + Math.exp(-x)));
    const classes = out.slice(VISEMES + CURVES);
    return { curves: this.inhale.part(curves, input, classes), classes };
  }

  private normalised(h: Float32Array): Float32Array {
    const mean = h.reduce((a, b) => a + b, 0) / h.length;
    const variance = h.reduce((a, b) => a + (b - mean) ** 2, 0) / h.length, scale = 1 / Math.sqrt(variance + 1e-5);
    return h.map((x, c) => (x - mean) * scale * this.norm[0][c] + this.norm[1][c]);
  }

  /** This subject's articulators: Style.shape of avatars/speech/style.py. */
  private shape(curves: Float32Array): Float32Array {
    const { gain, bias, reach, gap } = this.style, parted = curves[gap];
    const out = curves.map((x, c) => x * gain[c] + bias[c] * Math.min(parted / (c === gap ? 0.3 : 0.1), 1));
    for (let c = 0; c < CURVES; c++) out[c] = Math.min(Math.max(out[c], 0), 1.5);
    out[gap] = Math.min(out[gap], out.reduce((sum, x, c) => sum + x * reach[c], 0));
    return out;
  }

  /** The next frame: coefficients of the mouth, laughter and the like added where they are heard, and the prosody. */
  say({ curves, classes, input }: Spoken): Said {
    const most = classes.reduce((a, b) => Math.max(a, b), -Infinity), odds = Array.from(classes, (c) => Math.exp(c - most));
    const total = odds.reduce((a, b) => a + b, 0), face = new Float32Array(52), shaped = this.shape(curves);
    for (let c = 0; c < CURVES; c++) for (let k = 0; k < 52; k++) face[k] += shaped[c] * this.map[52 * c + k];
    for (let k = 0; k < 52; k++) face[k] = Math.min(Math.max(face[k], 0), 1);
    for (let c = 0; c < CLASSES; c++) {
      const goal = Math.min(Math.max(2.5 * (odds[c] / total - 0.5), 0), 1);
      this.certainty[c] += ((goal - this.certainty[c]) * 0.02) / (goal > this.certainty[c] ? 0.12 : 0.25);
      for (let k = 0; k < 52; k++) face[k] += this.certainty[c] * this.faces[52 * c + k];
    }
    const heard = { ...this.prosody.tick(input, 1 - odds[QUIET] / total), laugh: this.certainty[LAUGH], sing: this.certainty[SING] };
    return { face, parted: shaped[this.style.gap], heard };
  }

  /** The coefficients of a frame in an emotion, which may not part the lips of a speaker. */
  finished({ face, parted, heard }: Said, emotion: Float32Array): Float32Array {
    const out = face.slice();
    this.offsets.add(out, emotion, heard.speaking, heard.arousal);
    const opening = out.reduce((sum, x, k) => sum + x * this.lips[k], 0);
    const held = heard.speaking * Math.max(1 - parted / GUARDED, 0);
    out[this.close] += held * 0.6 * Math.max(Math.min(Math.max(opening, 0), 1.5) - parted, 0);
    return out;
  }
}
