// Machines' steady tones leave the lips shut: the detector of avatars/speech/drone.py, frame by frame.

const MELS = 40, NEAR = 2, STILL = 0.06, STEADY = 0.3, ENDED = 0.6; // levels in 10 dB
const REMEMBERED = 12, SURE = 20, CLOSING = 8, OPENING = 2, ENDING = 16; // frames of 20 ms

const loudest = (levels: Float64Array) => levels.reduce((a, b) => Math.max(a, b), -Infinity);

export class Drone {
  private usual?: Float64Array;
  private most = 0;
  private still = 0;
  private share = 0;

  /** How far the lips shall stay shut, from 0 to 1, after the next network input. */
  tick(input: Float32Array): number {
    const levels = Float64Array.from({ length: MELS }, (_, k) => input[k] + input[MELS + k]);
    const usual = (this.usual ??= levels.slice()), most = loudest(levels), away = levels.map((x, k) => x - usual[k]);
    const still = Math.abs(most - this.most) < STEADY && stands(away.filter((_, k) => levels[k] > most - NEAR));
    this.still = still ? this.still + 1 : 0;
    if (this.still >= SURE) this.share = Math.min(this.share + 1 / CLOSING, 1);
    else if (this.share > 0) {
      const ended = most < loudest(usual) - ENDED;
      this.share = Math.max(this.share - 1 / (ended ? ENDING : OPENING), 0);
    }
    away.forEach((x, k) => (usual[k] += x / REMEMBERED));
    this.most = most;
    return this.share;
  }
}

/** Whether the bands near the loudest moved alike: a tone that swells is still the same tone. */
function stands(near: Float64Array): boolean {
  const mean = near.reduce((a, b) => a + b, 0) / near.length;
  return near.reduce((sum, x) => sum + Math.abs(x - mean), 0) < STILL * near.length;
}
