// What the rest of the face hears: speaking or not, accents, phrase ends. The tracker of avatars/speech/prosody.py.

/** One tick of prosody. */
export interface Heard {
  /** 0 to 1, smoothed over 100 ms. */
  speaking: number;
  /** Strength of a stressed syllable that begins now, 0 for none. */
  accent: number;
  /** An utterance begins. */
  starting: boolean;
  /** A phrase has just ended. */
  ending: boolean;
  /** 0 calm to 1 excited, against the speaker's own running norm of loudness and pitch range. */
  arousal: number;
  /** Certainty of laughter and of singing. */
  laugh: number; sing: number;
}

export const QUIET: Heard = { speaking: 0, accent: 0, starting: false, ending: false, arousal: 0.5, laugh: 0, sing: 0 };

/** Ticks on their way to the face, which may take several at once or none. */
export class Ears {
  private ticks: Heard[] = [];
  private last = QUIET;

  push(heard: Heard): void {
    if (this.ticks.length < 100) this.ticks.push(heard); // nobody asks while the page is hidden
  }

  /** Everything since the last call: what is smooth as it was last, what happened if it happened at all. */
  take(): Heard {
    const { ticks } = this;
    this.last = {
      ...(ticks.at(-1) ?? this.last), accent: Math.max(0, ...ticks.map((t) => t.accent)),
      starting: ticks.some((t) => t.starting), ending: ticks.some((t) => t.ending),
    };
    this.ticks = [];
    return this.last;
  }
}

const STEP = 0.02, LOUDNESS = 81, VOICING = 84, PITCH = 85;

/** A number that is followed quickly, and its usual value. */
class Followed {
  constructor(private now: number, private usual = now) {}

  follow(value: number): void {
    this.now += ((value - this.now) * STEP) / 1.5;
    this.usual += ((value - this.usual) * STEP) / 30;
  }

  get excess(): number {
    return this.now - this.usual;
  }
}

export class Prosody {
  private speaking = 0;
  private quiet = 10;
  private loud = 0.3;
  private usual = 0.3;
  private rising = false;
  private rest = 0;
  private said = false;
  private pitch = 0;
  private readonly range = new Followed(0.15);
  private readonly energy = new Followed(0.3);

  /** The next 20 ms: what the network heard (86 numbers) and how likely a voice was in it. */
  tick(frame: ArrayLike<number>, active: number): Omit<Heard, "laugh" | "sing"> {
    const loudness = Math.max(frame[LOUDNESS], 0);
    this.speaking += ((active - this.speaking) * STEP) / 0.1;
    let starting = false, ending = false;
    if (active > 0.5) {
      starting = this.quiet > 0.5;
      this.quiet = 0;
      this.said = true;
    } else {
      const before = this.quiet;
      this.quiet += STEP;
      ending = this.said && before < 0.2 && this.quiet >= 0.2;
      this.said = this.said && !ending;
    }
    if (active > 0.5 && frame[VOICING] > 0) {
      this.pitch += ((frame[PITCH] - this.pitch) * STEP) / 3;
      this.range.follow(Math.abs(frame[PITCH] - this.pitch));
      this.energy.follow(loudness);
    }
    const excess = this.energy.excess / 0.2 + this.range.excess / 0.15, arousal = Math.min(Math.max(0.5 + 0.25 * excess, 0), 1);
    return { speaking: this.speaking, accent: this.accent(loudness * active), starting, ending, arousal };
  }

  /** Onset of a peak of loudness well over the running mean. */
  private accent(loudness: number): number {
    this.rest -= STEP;
    this.loud += ((loudness - this.loud) * STEP) / 0.06;
    this.usual += ((loudness - this.usual) * STEP) / 1.5;
    const excess = this.loud - 1.15 * this.usual - 0.08, found = excess > 0 && !this.rising && this.rest <= 0;
    this.rising = excess > 0;
    if (!found) return 0;
    this.rest = 0.25;
    return Math.min(0.5 + 2 * this.usual, 1);
  }
}
