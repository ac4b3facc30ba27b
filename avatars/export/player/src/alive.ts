// What a face does when it is told nothing: blinks, small movements of the eyes, a head that is never quite still.

import { Vec3 } from "./maths";

const SIDE = (32 * Math.PI) / 180, UP = (25 * Math.PI) / 180;

/** Turn of the eyes that eyeLook* at 1 makes, as 8 coefficients; `yaw` to the head's left and `pitch` up, rad. */
export function lookCoefficients(yaw: number, pitch: number, names: readonly string[], out: Float32Array): void {
  const set = (name: string, value: number) => {
    const i = names.indexOf(name);
    if (i >= 0) out[i] = Math.min(Math.max(value, 0), 1);
  };
  for (const [side, sign] of [["Left", 1], ["Right", -1]] as const) {
    set(`eyeLookOut${side}`, (sign * yaw) / SIDE);
    set(`eyeLookIn${side}`, (-sign * yaw) / SIDE);
    set(`eyeLookUp${side}`, pitch / UP);
    set(`eyeLookDown${side}`, -pitch / UP);
  }
}

/** Numbers in [0, 1) that repeat from a seed (mulberry32), so that a recording of the page can be made twice. */
function generator(seed: number): () => number {
  let s = seed | 0;
  return () => {
    s = (s + 0x6d2b79f5) | 0;
    let t = Math.imul(s ^ (s >>> 15), 1 | s);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const CLOSING = 0.07, SHUT = 0.04, OPENING = 0.16;

export class Alive {
  private readonly random: () => number;
  private nextBlink = 1.5;
  private blinkStart = -1;
  private nextGlance = 0.5;
  private gaze: [number, number] = [0, 0];
  private eyes: [number, number] = [0, 0];
  private readonly phases: number[];

  constructor(seed = 1) {
    this.random = generator(seed);
    this.phases = Array.from({ length: 9 }, () => 2 * Math.PI * this.random());
  }

  /**
   * How far the lids are closed, where the eyes look, and how the head is turned, rad.
   * @param time s, never going back
   * @param step s since the last call
   */
  at(time: number, step: number): { blink: number; gaze: [number, number]; turn: Vec3 } {
    if (time >= this.nextBlink) {
      this.blinkStart = time;
      // Pauses between blinks are skewed: mostly 2 to 5 s, now and then two in a row.
      this.nextBlink = time + (this.random() < 0.12 ? 0.35 : 1.2 - 3.2 * Math.log(1 - 0.95 * this.random()));
    }
    if (time >= this.nextGlance) {
      const far = this.random() < 0.2 ? 0.12 : 0.035;
      this.gaze = [far * (2 * this.random() - 1), 0.6 * far * (2 * this.random() - 1)];
      this.nextGlance = time + 0.4 + 2.2 * this.random();
    }
    // A saccade of that size takes some 40 ms.
    const share = 1 - Math.exp(-step / 0.015);
    this.eyes = this.eyes.map((x, i) => x + share * (this.gaze[i] - x)) as [number, number];
    const wave = (i: number, period: number) => Math.sin((2 * Math.PI * time) / period + this.phases[i]);
    const turn: Vec3 = [
      0.012 * wave(0, 7.3) + 0.006 * wave(1, 3.1),
      0.018 * wave(2, 9.7) + 0.008 * wave(3, 4.3),
      0.008 * wave(4, 11.9) + 0.004 * wave(5, 5.1),
    ];
    return { blink: this.lids(time), gaze: this.eyes, turn };
  }

  private lids(time: number): number {
    if (this.blinkStart < 0) return 0;
    const t = time - this.blinkStart;
    const smooth = (x: number) => x * x * (3 - 2 * x);
    if (t < CLOSING) return smooth(t / CLOSING);
    if (t < CLOSING + SHUT) return 1;
    return t < CLOSING + SHUT + OPENING ? 1 - smooth((t - CLOSING - SHUT) / OPENING) : 0;
  }
}
