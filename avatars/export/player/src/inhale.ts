// Audible breaths between words part the lips: the detector of avatars/speech/inhale.py, frame by frame.

import { Bundle } from "./bundle";

const BEGIN = 4, END = 2, STEEPEST = 6, LOUDEST = -15; // dB
const SURE = 2, LONGEST = 60, OPENING = 4, CLOSING = 8, HELD = 8, SPEECH = 8, REMEMBERED = 150, TAKEN = 3; // frames of 20 ms
const QUIET = 0, BREATH = 4;

/** Whether the network hears no voice in a frame of class logits. */
function isPause(logits: Float32Array): boolean {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity), odds = Array.from(logits, (x) => Math.exp(x - most));
  return odds[QUIET] + odds[BREATH] > 0.5 * odds.reduce((a, b) => a + b, 0);
}

export class Inhale {
  private readonly bands: Float32Array[];
  private readonly inhaled: Float32Array;
  private readonly least = [Infinity, Infinity];
  private readonly smooth = [0, 0];
  private heard = 0;
  private since = HELD; // frames since the last breath
  private voice = 0; // frames of speech in a row
  private spoke = REMEMBERED; // frames since enough of it
  private share = 0;
  private sure = false;

  constructor(bundle: Bundle, inputs: number, curves: number) {
    const both = bundle.floats("breath_bands", 2, inputs);
    this.bands = [both.subarray(0, inputs), both.subarray(inputs)];
    this.inhaled = bundle.floats("inhaled", curves);
  }

  /** The next frame's articulators, with the lips parted where speech does not part them wider. */
  part(curves: Float32Array, input: Float32Array, logits: Float32Array): Float32Array {
    const share = this.tick(this.bands.map((band) => band.reduce((sum, w, i) => sum + w * input[i], 0)), isPause(logits));
    return share > 0 ? curves.map((x, c) => Math.max(x, share * this.inhaled[c])) : curves;
  }

  /** How far a breath parts the lips, from 0 to 1. */
  private tick(levels: number[], pause: boolean): number {
    const { least, smooth } = this, loud = Math.max(...levels) > LOUDEST;
    let rise = Infinity;
    levels.forEach((level, k) => {
      smooth[k] += 0.5 * Math.min(level - smooth[k], STEEPEST);
      least[k] = loud ? smooth[k] : Math.min(least[k], smooth[k]);
      rise = Math.min(rise, smooth[k] - least[k]);
    });
    this.heard = rise > (this.heard === 0 ? BEGIN : END) ? Math.min(this.heard + 1, LONGEST + 1) : 0;
    this.voice = pause ? 0 : this.voice + 1;
    this.spoke = this.voice >= SPEECH ? 0 : this.spoke + 1;
    const inside = pause && this.spoke < REMEMBERED && SURE <= this.heard && this.heard <= LONGEST;
    this.since = inside ? 0 : this.since + 1;
    let step = 1 / OPENING;
    if (!inside && !pause) step = -1 / TAKEN;
    else if (!inside) {
      this.sure = this.sure && this.since <= HELD;
      step = this.sure ? 0 : -1 / CLOSING;
    }
    this.share = Math.min(Math.max(this.share + step, 0), 1);
    this.sure = this.sure || this.share === 1;
    return this.share;
  }
}
