// Sound in the page: the microphone as it speaks, or a file with its lips in time. Nothing leaves the page.

import { Bundle, loadBundle, PlayerError } from "./bundle";
import { Offsets } from "./emotion";
import { Ears, Heard } from "./prosody";
import { Resampler } from "./sound";
import { Said, Voice } from "./voice";

const HZ = 50, BLOCK = 16000, MAX_FILE = 200 * 2 ** 20, MAX_SECONDS = 1800;
// Where the script came from: its neighbours are the sound thread's part and the speech network.
const HOME = new URL(".", (document.currentScript as HTMLScriptElement | null)?.src ?? document.baseURI);

let weights: Promise<Bundle> | null = null;

/** A voice that has heard nothing. The network is fetched the first time. */
export async function newVoice(): Promise<Voice> {
  weights ??= loadBundle(new URL("speech/", HOME), "avatar-speech");
  try {
    return new Voice(await weights);
  } catch (error) {
    weights = null;
    throw error;
  }
}

/** What emotions add to a face; fetched with the network. */
export async function offsets(): Promise<Offsets> {
  return (await newVoice()).offsets;
}

/** Something that speaks now. */
export interface Talk {
  /** Coefficients for this moment in an emotion, or null when it is over. */
  now(emotion: Float32Array): Float32Array | null;
  /** Articulate as in an emotion, as far as that is not settled yet. */
  feel(emotion: Float32Array): void;
  /** What was heard since the last call. */
  heard(): Heard;
  stop(): void;
}

/** Speak along with the microphone. */
export async function microphone(emotion: Float32Array): Promise<Talk> {
  if (!navigator.mediaDevices?.getUserMedia || typeof AudioWorkletNode === "undefined")
    throw new PlayerError("The microphone needs a page served over https or from localhost, and a current browser.");
  const voice = await newVoice();
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true } });
  } catch (error) {
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    throw new PlayerError(denied ? "The browser was not allowed to use the microphone." : "No microphone was found.");
  }
  const context = new AudioContext(), resampler = new Resampler(context.sampleRate);
  await context.audioWorklet.addModule(new URL("capture.js", HOME));
  const node = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
  const ears = new Ears();
  let last: Said | null = null;
  voice.feel(emotion);
  node.port.onmessage = (event: MessageEvent<Float32Array>) => {
    for (const spoken of voice.feed(resampler.feed(event.data))) {
      last = voice.say(spoken);
      ears.push(last.heard);
    }
  };
  context.createMediaStreamSource(stream).connect(node);
  await context.resume();
  return {
    now: (felt) => (last ? voice.finished(last, felt) : new Float32Array(52)),
    feel: (felt) => voice.feel(felt),
    heard: () => ears.take(),
    stop: () => {
      stream.getTracks().forEach((track) => track.stop());
      void context.close();
    },
  };
}

/** Play a sound file and speak it. */
export async function soundFile(file: Blob, emotion: Float32Array): Promise<Talk> {
  if (file.size > MAX_FILE) throw new PlayerError("This sound file is too large.");
  const voice = await newVoice(), context = new AudioContext();
  let sound: AudioBuffer;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
    if (sound.duration > MAX_SECONDS) throw new PlayerError("This sound is longer than half an hour.");
  } catch (error) {
    void context.close();
    throw error instanceof PlayerError ? error : new PlayerError("This file holds no sound that the browser can play.");
  }
  voice.feel(emotion);
  const frames = await speak(voice, mono(sound), sound.sampleRate);
  const source = new AudioBufferSourceNode(context, { buffer: sound });
  let over = false;
  source.onended = () => (over = true);
  source.connect(context.destination);
  await context.resume();
  const began = context.currentTime;
  source.start();
  const place = () => (context.currentTime - began - (context.outputLatency || 0)) * HZ - 0.5;
  const ears = new Ears();
  let known = 0;
  return {
    feel: () => undefined, // its lips are read already
    now: (felt) => {
      if (over || !frames.length) return null;
      const at = place(), low = Math.min(Math.max(Math.floor(at), 0), frames.length - 1), high = Math.min(low + 1, frames.length - 1);
      const share = Math.min(Math.max(at - low, 0), 1), next = voice.finished(frames[high], felt);
      return voice.finished(frames[low], felt).map((x, i) => x + share * (next[i] - x));
    },
    heard: () => {
      const end = Math.min(Math.max(Math.floor(place()) + 1, known), frames.length);
      for (; known < end; known++) ears.push(frames[known].heard);
      return ears.take();
    },
    stop: () => void context.close(),
  };
}

/** What is said at 50 Hz in a whole sound; the page stays alive meanwhile. */
export async function speak(voice: Voice, pcm: Float32Array, rate: number): Promise<Said[]> {
  const resampler = new Resampler(rate), frames: Said[] = [], tail = new Float32Array(Math.ceil(0.3 * rate));
  const take = (part: Float32Array) => {
    for (const spoken of voice.feed(resampler.feed(part))) frames.push(voice.say(spoken));
  };
  for (let at = 0; at < pcm.length; at += BLOCK) {
    take(pcm.subarray(at, at + BLOCK));
    await new Promise((resume) => setTimeout(resume));
  }
  take(tail); // silence to look ahead into
  return frames.slice(0, Math.ceil((pcm.length / rate) * HZ));
}

function mono(sound: AudioBuffer): Float32Array {
  const out = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) {
    const channel = sound.getChannelData(c);
    for (let i = 0; i < out.length; i++) out[i] += channel[i] / sound.numberOfChannels;
  }
  return out;
}
