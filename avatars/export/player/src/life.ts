// What a face does besides speaking: blinks, gaze, brows and a head that is never quite still, 50 times a second.
// The generators of avatars/speech (blink.py, gaze.py, head.py, brows.py, face.py), number for number.

import { Bundle } from "./bundle";
import { QUIET, Heard } from "./prosody";

export const STEP = 0.02;
const LOOK_ANGLE = (30 * Math.PI) / 180;
const clamp = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

/** Numbers that repeat from a seed (mulberry32), so that a recording of the page can be made twice. */
export class Random {
  constructor(private state: number) {}

  /** In [0, 1). */
  random(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  uniform(low: number, high: number): number {
    return low + (high - low) * this.random();
  }

  /** Box & Muller (1958). */
  normal(mean: number, deviation: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.random()));
    return mean + deviation * radius * Math.cos(2 * Math.PI * this.random());
  }

  /** Gamma of a whole shape: a sum of waiting times. */
  gamma(shape: number, scale: number): number {
    let sum = 0;
    for (let i = 0; i < shape; i++) sum -= Math.log(1 - this.random());
    return scale * sum;
  }
}

/** How one person moves: avatars/speech/habits.py. */
export interface Habits {
  blinksPerMinute: number; blinkSpread: number; blinkClosing: number;
  gazeSpread: number[]; fixation: number;
  headSpread: number[]; headTime: number; sway: number[];
  browLevel: number; browSpread: number;
}

export function habitsOf(bundle: Bundle): Habits {
  const h = Array.from(bundle.floats("habits", 15)).map((x) => clamp(x, 0, 1000));
  return {
    blinksPerMinute: h[0], blinkSpread: h[1], blinkClosing: h[2], gazeSpread: h.slice(3, 5), fixation: Math.max(h[5], 0.1),
    headSpread: h.slice(6, 9), headTime: Math.max(h[9], 0.1), sway: h.slice(10, 13), browLevel: h[13], browSpread: h[14],
  };
}

const HOLD = 0.06, REFRACTORY = 0.4, HALF = 0.06, DOUBLE = 0.07, RESTED = 1;

/** A renewal process with log-normal gaps. */
class Blinks {
  private readonly mean: number;
  private readonly spread: number;
  private readonly closing: number;
  private age = Infinity;
  private depth = 1;
  private wait: number;

  constructor(habits: Habits, private readonly rng: Random) {
    this.mean = habits.blinksPerMinute > 0 ? 60 / habits.blinksPerMinute : Infinity;
    this.spread = Math.max(habits.blinkSpread, 0.05);
    this.closing = Math.max(habits.blinkClosing, 2 * STEP);
    this.wait = this.gap() * rng.uniform(0.2, 1);
  }

  private gap(): number {
    if (this.mean === Infinity) return Infinity;
    return Math.max(Math.exp(this.rng.normal(Math.log(this.mean) - this.spread ** 2 / 2, this.spread)), REFRACTORY);
  }

  /** Closure in [0, 1]; the end of a phrase, a glance or a turn of the head invite a blink. */
  tick(invited: number): number {
    const { closing, rng } = this, opening = 2.2 * closing, length = closing + HOLD + opening;
    this.wait -= STEP;
    const waiting = this.wait > REFRACTORY && this.wait < Infinity && this.age > length + RESTED;
    if (invited > 0 && waiting && rng.random() < 0.5 * invited) this.wait = 0;
    if (this.wait <= 0 && this.age > length) {
      this.age = 0;
      this.depth = rng.random() < HALF ? 0.55 : 1;
      this.wait = rng.random() < DOUBLE ? length + 0.1 : length + this.gap();
    }
    const t = this.age;
    this.age += STEP;
    if (t >= length) return 0;
    if (t < closing) return this.depth * (0.5 - 0.5 * Math.cos((Math.PI * t) / closing));
    if (t < closing + HOLD) return this.depth;
    return this.depth * (0.5 + 0.5 * Math.cos((Math.PI * (t - closing - HOLD)) / opening));
  }
}

const STEADY = 0.9, LARGEST = (25 * Math.PI) / 180;

/** Fixations, saccades by the main sequence, glances away when a thought begins. */
class Gaze {
  private yaw = 0;
  private pitch = 0;
  private from = [0, 0];
  private to = [0, 0];
  private age = 1;
  private length = 0.1;
  private wait = 0.5;
  private away = false;
  /** rad, size of the saccade that began in this tick. */
  jump = 0;

  constructor(private readonly habits: Habits, private readonly rng: Random) {}

  /** (yaw to the subject's left, pitch up) in the head, rad. */
  tick(headYaw: number, headPitch: number, starting: boolean): [number, number] {
    const { rng, habits } = this, [wide, high] = habits.gazeSpread;
    this.jump = 0;
    this.wait -= STEP;
    const glance = starting && !this.away && rng.random() < 0.35;
    if (glance || this.wait <= 0) {
      let yaw: number, pitch: number;
      if (glance || (!this.away && rng.random() < 0.12)) {
        const side = rng.random() < 0.5 ? 1 : -1;
        yaw = side * rng.uniform(2, 5) * wide;
        pitch = rng.uniform(-2, 3) * high;
        this.away = true;
        this.wait = rng.gamma(4, 0.2);
      } else {
        yaw = rng.normal(0, wide);
        pitch = rng.normal(0, high);
        this.away = false;
        this.wait = Math.exp(rng.normal(Math.log(habits.fixation), 0.5));
      }
      this.from = [this.yaw, this.pitch];
      this.to = [yaw, pitch];
      this.jump = Math.hypot(yaw - this.yaw, pitch - this.pitch);
      this.age = 0;
      this.length = 0.021 + (0.0022 * this.jump * 180) / Math.PI;
    }
    this.age += STEP;
    const x = Math.min(this.age / this.length, 1), share = x * x * (3 - 2 * x);
    this.yaw = this.from[0] + share * (this.to[0] - this.from[0]);
    this.pitch = this.from[1] + share * (this.to[1] - this.from[1]);
    return [clamp(this.yaw - STEADY * headYaw, -LARGEST, LARGEST), clamp(this.pitch - STEADY * headPitch, -LARGEST, LARGEST)];
  }
}

const IDLE = 0.45, BATCH = 256;

/** A damped oscillator driven by noise about three axes of turning and three of shifting, and nods. */
class Head {
  private readonly omega: number;
  private readonly drive: number[];
  private readonly position = new Array<number>(6).fill(0);
  private readonly speed = new Array<number>(6).fill(0);
  private noise: number[] = [];
  private next = 0;
  private lively = IDLE;
  private nod = 0;
  private nodSpeed = 0;
  private rest = 0;
  private readonly nodSize: number;

  constructor(habits: Habits, private readonly rng: Random) {
    this.omega = 1.6 / habits.headTime;
    this.drive = [...habits.headSpread, ...habits.sway].map((s) => s * Math.sqrt((4 * this.omega ** 3) / STEP));
    this.draw();
    this.nodSize = 0.8 * habits.headSpread[0];
  }

  private draw(): void {
    this.noise = Array.from({ length: 6 * BATCH }, () => this.rng.normal(0, 1));
    this.next = 0;
  }

  /** Rotation (rad) and translation (m), relative to rest. */
  tick(speaking: number, accent: number, back: number): [number[], number[]] {
    if (this.next === BATCH) this.draw();
    const { omega, position, speed } = this;
    this.lively += ((Math.max(speaking, IDLE) - this.lively) * STEP) / 0.4;
    for (let i = 0; i < 6; i++) {
      const pull = -2 * omega * speed[i] - omega * omega * position[i] + this.drive[i] * this.noise[6 * this.next + i];
      speed[i] += STEP * pull;
      position[i] += STEP * speed[i];
    }
    this.next++;
    this.rest -= STEP;
    if (accent > 0 && this.rest <= 0 && this.rng.random() < 0.5) {
      this.nodSpeed += 12 * this.nodSize * accent * (this.rng.random() < 0.85 ? 1 : -0.7);
      this.rest = 0.35;
    }
    this.nodSpeed += STEP * (-2 * 7 * this.nodSpeed - 49 * this.nod);
    this.nod += STEP * this.nodSpeed;
    const moved = position.map((x) => this.lively * x);
    moved[0] += this.nod - back;
    return [moved.slice(0, 3), moved.slice(3)];
  }
}

/** Raised on some accents, never quite still. */
class Brows {
  private slow = 0;
  private accent = 0;
  private goal = 0;
  private rest = 0;

  constructor(private readonly habits: Habits, private readonly rng: Random) {}

  tick(accent: number): number {
    const { habits, rng } = this;
    this.rest -= STEP;
    if (accent > 0 && this.rest <= 0 && rng.random() < 0.3) {
      this.goal = accent * rng.uniform(2, 5) * habits.browSpread;
      this.rest = 0.6;
    }
    this.accent += ((this.goal - this.accent) * STEP) / (this.goal > this.accent ? 0.06 : 0.18);
    if (this.accent > 0.9 * this.goal) this.goal = 0;
    const kick = habits.browSpread * 0.5 * Math.sqrt((2 * STEP) / 1.5);
    this.slow += (-this.slow * STEP) / 1.5 + kick * rng.normal(0, 1);
    return clamp(habits.browLevel + this.slow + this.accent, 0, 1);
  }
}

/** One tick: the head's pose, the eyes' direction in it, lids and brows. */
export interface Movement { rotation: number[]; translation: number[]; yaw: number; pitch: number; lid: number; brow: number }

const BACK = 0.08;

export class Life {
  private readonly blinks: Blinks;
  private readonly gaze: Gaze;
  private readonly head: Head;
  private readonly brows: Brows;
  private turn = [0, 0];

  constructor(habits: Habits, seed = 1) {
    const stream = (k: number) => new Random(4 * seed + k);
    this.blinks = new Blinks(habits, stream(0));
    this.gaze = new Gaze(habits, stream(1));
    this.head = new Head(habits, stream(2));
    this.brows = new Brows(habits, stream(3));
  }

  /**
   * The next 20 ms.
   * @param following the eyes are held on something that moves with the head's own turn taken out: no reflex is added
   */
  tick(heard: Heard = QUIET, following = false): Movement {
    const [rotation, translation] = this.head.tick(heard.speaking, heard.accent * (1 - heard.sing), BACK * heard.laugh);
    const [yaw, pitch] = this.gaze.tick(following ? 0 : rotation[1], following ? 0 : -rotation[0], heard.starting);
    const turned = Math.abs(rotation[1] - this.turn[0]) + Math.abs(rotation[0] - this.turn[1]);
    this.turn = [rotation[1], rotation[0]];
    const invited = (heard.ending ? 0.5 : 0) + (this.gaze.jump > 0.12 ? 0.6 : 0) + (turned > 0.02 ? 0.2 : 0);
    const lid = this.blinks.tick(Math.min(invited, 1)), brow = this.brows.tick(heard.accent);
    return { rotation, translation, yaw, pitch, lid, brow };
  }
}

/** Between two ticks. */
export function between(a: Movement, b: Movement, share: number): Movement {
  const mix = (x: number, y: number) => x + share * (y - x);
  const list = (x: number[], y: number[]) => x.map((v, i) => mix(v, y[i]));
  return {
    rotation: list(a.rotation, b.rotation), translation: list(a.translation, b.translation),
    yaw: mix(a.yaw, b.yaw), pitch: mix(a.pitch, b.pitch), lid: mix(a.lid, b.lid), brow: mix(a.brow, b.brow),
  };
}

const LOOK = ["OutLeft", "InRight", "InLeft", "OutRight", "UpLeft", "UpRight", "DownLeft", "DownRight"];
const BROWS: [string, number][] = [["browInnerUp", 0.8], ["browOuterUpLeft", 1], ["browOuterUpRight", 1]];

/** Put eyes, lids and brows on top of 52 coefficients; `gaze` false leaves the eyes where the coefficients have them. */
export class Expression {
  private readonly look: number[];
  private readonly lids: number[];
  private readonly wide: number[];
  private readonly brows: [number, number][];

  constructor(names: readonly string[]) {
    const at = (name: string) => names.indexOf(name);
    this.look = LOOK.map((name) => at(`eyeLook${name}`));
    this.lids = [at("eyeBlinkLeft"), at("eyeBlinkRight")];
    this.wide = [at("eyeWideLeft"), at("eyeWideRight")];
    this.brows = BROWS.map(([name, share]) => [at(name), share]);
  }

  /** Whether the coefficients already say where the eyes look. */
  looking(values: Float32Array): boolean {
    return this.look.some((i) => values[i] > 0);
  }

  add(values: Float32Array, { yaw, pitch, lid, brow }: Movement, gaze = true): void {
    const x = yaw / LOOK_ANGLE, y = pitch / LOOK_ANGLE, put = (i: number, by: number) => { if (i >= 0) values[i] += by; };
    const [left, right, up, down] = [x, -x, y, -y].map((v) => Math.max(v, 0));
    if (gaze) [left, left, right, right, up, up, down, down].forEach((v, k) => put(this.look[k], v));
    // The lid follows the eye down.
    for (const i of this.lids) put(i, Math.max(lid, 0) + (gaze ? (1 - lid) * 0.35 * down : 0));
    if (gaze) for (const i of this.wide) put(i, (1 - lid) * 0.25 * up);
    for (const [i, share] of this.brows) put(i, brow * share);
  }
}
