// The front end of avatars/speech/features.py: 16 kHz samples in, 86 numbers for every 20 ms out, any chunking alike.

import { Bundle, PlayerError } from "./bundle";

export const RATE = 16000;
const HOP = 160, WINDOW = 400, FFT = 512, BANDS = 40, STEP = 2 * HOP;
const PITCH_WINDOW = 512, PITCH_FFT = 1024, FIRST_LAG = 40, KEPT = WINDOW - HOP;
const FLOOR = 1e-9, SMOOTH = 10, LEVEL_FALL = 0.005, NOISE_RISE = 0.02, LEVEL_LEAST = -50;
export const INPUTS = 2 * (BANDS + 2) + 2;

/** In-place complex FFT of a power of two (Cooley & Tukey 1965). */
export class Fourier {
  private readonly cos: Float64Array;
  private readonly sin: Float64Array;
  private readonly swap: Uint32Array;

  constructor(readonly size: number) {
    const bits = Math.log2(size);
    this.cos = Float64Array.from({ length: size / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / size));
    this.swap = Uint32Array.from({ length: size }, (_, i) => {
      let reversed = 0;
      for (let b = 0; b < bits; b++) reversed |= ((i >> b) & 1) << (bits - 1 - b);
      return reversed;
    });
  }

  run(re: Float64Array, im: Float64Array): void {
    const { size, cos, sin, swap } = this;
    for (let i = 0; i < size; i++) {
      const j = swap[i];
      if (j > i) {
        [re[i], re[j]] = [re[j], re[i]];
        [im[i], im[j]] = [im[j], im[i]];
      }
    }
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half)
        for (let k = 0; k < half; k++) {
          const a = start + k, b = a + half, c = cos[k * stride], s = sin[k * stride];
          const x = re[b] * c + im[b] * s, y = im[b] * c - re[b] * s;
          re[b] = re[a] - x; im[b] = im[a] - y;
          re[a] += x; im[a] += y;
        }
    }
  }
}

const hann = (n: number, scale: number) =>
  Float64Array.from({ length: n }, (_, i) => scale * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (n - 1))));

export class FrontEnd {
  private readonly mel: Float32Array;
  private readonly correction: Float32Array;
  private readonly logPitch: Float32Array;
  private readonly short = new Fourier(FFT);
  private readonly long = new Fourier(PITCH_FFT);
  private readonly taper = hann(WINDOW, 4 / WINDOW);
  private readonly pitchTaper = hann(PITCH_WINDOW, 1);
  private buffer = new Float32Array(KEPT);
  private level = -30;
  private noise = -60;
  private recent = new Array<number>(SMOOTH - 1).fill(-80);

  constructor(bundle: Bundle) {
    this.mel = bundle.floats("mel", BANDS, FFT / 2 + 1);
    this.correction = bundle.floats("pitch_correction", null);
    this.logPitch = bundle.floats("log_pitch", this.correction.length);
    if (this.correction.length + FIRST_LAG > PITCH_FFT) throw new PlayerError("The speech file is damaged.");
  }

  /** Inputs that these samples complete. */
  feed(pcm: Float32Array): Float32Array[] {
    const data = new Float32Array(this.buffer.length + pcm.length), out: Float32Array[] = [];
    data.set(this.buffer);
    data.set(pcm, this.buffer.length);
    const count = Math.max(0, Math.floor((data.length - KEPT) / STEP));
    for (let k = 0; k < count; k++) out.push(this.frame(data, k * STEP));
    this.buffer = data.slice(count * STEP);
    return out;
  }

  private frame(data: Float32Array, at: number): Float32Array {
    const out = new Float32Array(INPUTS), bounded = (x: number) => Math.min(Math.max(x, -3), 3);
    for (let hop = 0; hop < 2; hop++) {
      const bands = this.bands(data, at + hop * HOP);
      const energy = 10 * Math.log10(bands.reduce((a, b) => a + b, 0) / BANDS);
      const smooth = (this.recent.reduce((a, b) => a + b, 0) + energy) / SMOOTH;
      this.recent.shift();
      this.recent.push(energy);
      this.level = Math.max(this.level - LEVEL_FALL, smooth, LEVEL_LEAST);
      this.noise = Math.min(this.noise + NOISE_RISE, smooth);
      for (let b = 0; b < BANDS; b++) out[hop * BANDS + b] = bounded(0.05 * (10 * Math.log10(bands[b]) - this.level) + 0.5);
      out[2 * BANDS + hop] = bounded(0.05 * (energy - this.level) + 0.5);
      out[2 * BANDS + 2 + hop] = bounded(0.05 * (energy - this.noise) - 1);
    }
    const [voicing, pitch] = this.pitch(data, at + KEPT + STEP - PITCH_WINDOW);
    out[INPUTS - 2] = 2 * voicing - 1;
    out[INPUTS - 1] = voicing * pitch;
    return out;
  }

  /** Power spectrum of a tapered window without its mean. */
  private power(data: Float32Array, at: number, taper: Float64Array, fourier: Fourier): Float64Array {
    const re = new Float64Array(fourier.size), im = new Float64Array(fourier.size);
    let mean = 0;
    for (let i = 0; i < taper.length; i++) mean += data[at + i];
    mean /= taper.length;
    for (let i = 0; i < taper.length; i++) re[i] = (data[at + i] - mean) * taper[i];
    fourier.run(re, im);
    return Float64Array.from({ length: fourier.size / 2 + 1 }, (_, i) => re[i] * re[i] + im[i] * im[i]);
  }

  private bands(data: Float32Array, at: number): number[] {
    const power = this.power(data, at, this.taper, this.short), width = power.length;
    return Array.from({ length: BANDS }, (_, b) => {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += power[i] * this.mel[b * width + i];
      return sum + FLOOR;
    });
  }

  /** Voicing in [0, 1] and pitch in octaves from 150 Hz, from the normalised autocorrelation. */
  private pitch(data: Float32Array, at: number): [number, number] {
    const power = this.power(data, at, this.pitchTaper, this.long);
    const re = new Float64Array(PITCH_FFT), im = new Float64Array(PITCH_FFT);
    for (let i = 0; i < PITCH_FFT; i++) re[i] = power[i <= PITCH_FFT / 2 ? i : PITCH_FFT - i] / PITCH_FFT;
    this.long.run(re, im);
    const ratio = Array.from(this.correction, (c, k) => (re[FIRST_LAG + k] / (re[0] + 1e-6)) * c);
    const best = ratio.reduce((a, b) => Math.max(a, b), -Infinity);
    let total = 0, sum = 0;
    ratio.forEach((r, k) => {
      const weight = Math.exp(40 * (r - best));
      total += weight;
      sum += weight * this.logPitch[k];
    });
    return [Math.min(Math.max(best, 0), 1), sum / total];
  }
}

const CROSSINGS = 12;

/** Any rate to 16 kHz by windowed-sinc polyphase filters (avatars/speech/resample.py). */
export class Resampler {
  private readonly phases: number;
  private readonly step: number;
  private readonly half: number;
  private readonly taps: Float64Array[];
  private data: Float32Array;
  private start: number;
  private heard = 0;
  private made = 0;

  constructor(readonly rate: number) {
    if (!(rate >= 4000 && rate <= 384000)) throw new PlayerError(`A sample rate of ${rate} Hz cannot be used.`);
    const gcd = (a: number, b: number): number => (b ? gcd(b, a % b) : a), divisor = gcd(Math.round(rate), RATE);
    this.phases = RATE / divisor;
    this.step = Math.round(rate) / divisor;
    const stretch = Math.max(rate / RATE, 1), cutoff = 0.94 / stretch;
    this.half = Math.ceil(CROSSINGS * stretch);
    this.taps = Array.from({ length: this.phases }, (_, phase) => this.filter(phase / this.phases, cutoff));
    this.data = new Float32Array(this.half - 1);
    this.start = 1 - this.half;
  }

  private filter(shift: number, cutoff: number): Float64Array {
    const taps = Float64Array.from({ length: 2 * this.half }, (_, i) => {
      const offset = i + 1 - this.half - shift, x = Math.PI * offset * cutoff;
      return (x ? Math.sin(x) / x : 1) * bessel(8 * Math.sqrt(Math.max(1 - (offset / this.half) ** 2, 0)));
    });
    const sum = taps.reduce((a, b) => a + b, 0);
    return taps.map((t) => t / sum);
  }

  /** 16 kHz samples that these complete. */
  feed(pcm: Float32Array): Float32Array {
    if (this.rate === RATE) return pcm;
    const { phases, step, half } = this;
    this.heard += pcm.length;
    const data = new Float32Array(this.data.length + pcm.length);
    data.set(this.data);
    data.set(pcm, this.data.length);
    const end = Math.max(Math.floor(((this.heard - half - 1) * phases) / step) + 1, this.made);
    const out = new Float32Array(end - this.made);
    for (let n = this.made; n < end; n++) {
      const position = n * step, taps = this.taps[position % phases];
      const from = Math.floor(position / phases) - this.start + 1 - half;
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += taps[i] * data[from + i];
      out[n - this.made] = sum;
    }
    this.made = end;
    const keep = Math.max(Math.floor((end * step) / phases) - half + 1, this.start);
    this.data = data.slice(keep - this.start);
    this.start = keep;
    return out;
  }
}

/** Modified Bessel function of order 0, by its series. */
function bessel(x: number): number {
  let term = 1, sum = 1;
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}
