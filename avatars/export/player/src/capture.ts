// Runs in the sound thread: hands the microphone's samples over in pieces of about 20 ms.

declare class AudioWorkletProcessor { readonly port: MessagePort }
declare function registerProcessor(name: string, kind: unknown): void;

class Capture extends AudioWorkletProcessor {
  private parts: Float32Array[] = [];
  private size = 0;

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0];
    if (!channels?.length) return true;
    const mixed = new Float32Array(channels[0].length);
    for (const channel of channels) for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / channels.length;
    this.parts.push(mixed);
    this.size += mixed.length;
    if (this.size >= 960) {
      const all = new Float32Array(this.size);
      let at = 0;
      for (const part of this.parts) {
        all.set(part, at);
        at += part.length;
      }
      this.port.postMessage(all, [all.buffer]);
      this.parts = [];
      this.size = 0;
    }
    return true;
  }
}

registerProcessor("capture", Capture);
