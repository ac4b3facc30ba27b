// Feelings on the face, alone or while speaking: avatars/speech/emotion.py, with the tables of the speech file.

import { Bundle, PlayerError } from "./bundle";

export const EMOTIONS = ["neutral", "happy", "sad", "angry", "fear", "disgust", "surprise", "contempt"] as const;
const TIME = 0.3, STEP = 0.02, YIELD = 0.65, MOST = 1.5;

/** Weights of the eight by name (scaled to a sum of at most 1) times an intensity from 0 to 1.5. */
export function emotionVector(weights: Record<string, number>, intensity = 1): Float32Array {
  const out = new Float32Array(EMOTIONS.length);
  for (const [name, value] of Object.entries(weights)) {
    const i = (EMOTIONS as readonly string[]).indexOf(name);
    if (i < 0) throw new PlayerError(`There is no emotion "${name.slice(0, 40)}". There are: ${EMOTIONS.join(", ")}.`);
    if (!(Number.isFinite(value) && value >= 0)) throw new PlayerError("The weight of an emotion is a number of at least 0.");
    out[i] = value;
  }
  if (!(Number.isFinite(intensity) && intensity >= 0 && intensity <= MOST))
    throw new PlayerError(`The intensity of an emotion lies between 0 and ${MOST}.`);
  const scale = intensity / Math.max(out.reduce((a, b) => a + b, 0), 1);
  return out.map((x) => x * scale);
}

/** What each emotion adds to the 52 coefficients, and which of those speech takes back. */
export class Offsets {
  private readonly faces: Float32Array;
  private readonly mouth: Float32Array;

  constructor(bundle: Bundle) {
    this.faces = bundle.floats("emotion_faces", EMOTIONS.length, 52);
    this.mouth = bundle.floats("emotion_mouth", 52);
  }

  /** Put an emotion on top of coefficients. */
  add(values: Float32Array, emotion: Float32Array, speaking = 0, arousal = 0.5): void {
    const { faces, mouth } = this, strength = 0.8 + 0.4 * arousal;
    emotion.forEach((weight, e) => {
      if (!weight) return;
      for (let k = 0; k < 52; k++) values[k] += weight * strength * faces[52 * e + k] * (1 - YIELD * speaking * mouth[k]);
    });
  }
}

/** An emotion on its way to the one that was asked for. */
export class Feeling {
  goal: Float32Array = new Float32Array(EMOTIONS.length);
  now: Float32Array = new Float32Array(EMOTIONS.length);
  offsets: Offsets | null = null;

  advance(step: number): void {
    const stays = (1 - STEP / TIME) ** (step / STEP);
    this.now = this.goal.map((x, i) => (Math.abs(this.now[i] - x) < 1e-6 ? x : x + (this.now[i] - x) * stays));
  }
}
