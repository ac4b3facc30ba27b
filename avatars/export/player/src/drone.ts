// Machines' steady tones leave the lips shut: the detector of avatars/speech/drone.py, frame by frame.

const MELS = 40, NEAR = 2, STILL = 0.06, STEADY = 0.3, ENDED = 0.6; // levels in 10 dB
const REMEMBERED = 12, SURE = 26, CLOSING = 4, OPENING = 2, ENDING = 16; // frames of 20 ms

const loudest = (levels: Float64Array) => levels.reduce((a, b) => Math.max(a, b), -Infinity);

export class Drone {
  private usual = new Float64Array(MELS);
  private before = this.usual;
  private most = 0;
  private tone = 0;
  private heard = 0;
  private still = 0;
  private share = 0;

  /** How far the lips shall stay shut, from 0 to 1, after the next network input. */
  tick(input: Float32Array): number {
    const levels = Float64Array.from({ length: MELS }, (_, k) => input[k] + input[MELS + k]), most = loudest(levels);
    const steady = this.heard > 0 && Math.abs(most - this.most) < STEADY;
    if (!steady) {
      this.usual = levels.slice(); // another sound sets in: its mean begins anew
      this.before = levels;
      this.heard = 0;
    }
    this.heard = Math.min(this.heard + 1, REMEMBERED);
    // A mean of two frames: a low tone's partials share bands, which ripple from one frame to the next.
    const away = levels.map((x, k) => (x + this.before[k]) / 2 - this.usual[k]);
    this.still = steady && stands(away.filter((_, k) => levels[k] > most - NEAR)) ? this.still + 1 : 0;
    if (this.still >= SURE) {
      this.share = Math.min(this.share + 1 / CLOSING, 1);
      this.tone = most;
    } else this.share = Math.max(this.share - 1 / (most < this.tone - ENDED ? ENDING : OPENING), 0);
    away.forEach((x, k) => (this.usual[k] += x / this.heard));
    this.most = most;
    this.before = levels;
    return this.share;
  }
}

/** Whether the bands near the loudest moved alike: a tone that swells is still the same tone. */
function stands(near: Float64Array): boolean {
  const mean = near.reduce((a, b) => a + b, 0) / near.length;
  return near.reduce((sum, x) => sum + Math.abs(x - mean), 0) < STILL * near.length;
}
