// Buttons and sliders. Text from a bundle is only ever set as text.

import { Driver } from "./drive";

export interface Actions {
  play(): void; microphone(): void; sound(file: File): void; sliders(): void; theme(): void; reset(): void; vr(): void;
  level(count: number): void;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K, words: Partial<Record<string, string>> = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(words)) made.setAttribute(name, value!);
  made.append(...children);
  return made;
}

/** The bar below the picture. */
export class Bar {
  readonly root = element("div", { class: "bar", role: "toolbar", "aria-label": "Avatar" });
  readonly play = this.button("Pause", "Play or stop the recording (space)");
  readonly microphone = this.button("Microphone", "Speak through the face; the sound stays in this page (m)");
  readonly sound = this.button("Sound file", "Let the face speak a recording");
  private readonly file = element("input", { type: "file", accept: "audio/*,video/*", hidden: "" });
  readonly sliders = this.button("Sliders", "Move the face by hand (s)");
  readonly theme = this.button("Light", "Light or dark background (b)");
  readonly reset = this.button("Reset view", "Back to the first view (r)");
  readonly vr = this.button("Enter VR", "Show the head in a headset");
  readonly level = element("select", { "aria-label": "Level of detail", title: "Number of splats" });

  constructor(actions: Actions) {
    this.play.onclick = () => actions.play();
    this.microphone.onclick = () => actions.microphone();
    this.sound.onclick = () => this.file.click();
    this.file.onchange = () => {
      const chosen = this.file.files?.[0];
      this.file.value = "";
      if (chosen) actions.sound(chosen);
    };
    this.sliders.onclick = () => actions.sliders();
    this.theme.onclick = () => actions.theme();
    this.reset.onclick = () => actions.reset();
    this.vr.onclick = () => actions.vr();
    this.vr.hidden = true;
    this.level.onchange = () => actions.level(Number(this.level.value));
    this.root.append(this.play, this.microphone, this.sound, this.file, this.sliders, this.theme, this.reset, this.level, this.vr);
  }

  private button(text: string, title: string): HTMLButtonElement {
    return element("button", { type: "button", title }, text);
  }

  setLevels(counts: number[], chosen: number): void {
    const label = (n: number) => `${(n / 1000).toFixed(n % 1000 ? 1 : 0)}k splats`;
    this.level.replaceChildren(...counts.map((n) => new Option(label(n), String(n), false, n === chosen)));
    this.level.hidden = counts.length < 2;
  }
}

const GROUPS: [string, RegExp][] = [
  ["Jaw", /^jaw/], ["Mouth", /^mouth/], ["Eyes", /^eye/], ["Brows", /^brow/], ["Cheeks, nose, tongue", /^(cheek|nose|tongue)/],
];

/** The drawer of 52 sliders. */
export class Sliders {
  readonly root = element("div", { class: "panel", role: "region", "aria-label": "Face sliders", hidden: "" });
  private readonly inputs: HTMLInputElement[] = [];

  constructor(driver: Driver, close: () => void) {
    const zero = element("button", { type: "button" }, "Zero"), done = element("button", { type: "button", "aria-label": "Close" }, "✕");
    zero.onclick = () => {
      this.inputs.forEach((input) => (input.value = "0"));
      driver.setCoefficients(new Float32Array(52));
    };
    done.onclick = close;
    this.root.append(element("div", { class: "top" }, zero, done), this.check(driver));
    for (const [title, pattern] of GROUPS) {
      this.root.append(element("h2", {}, title));
      driver.names.forEach((name, i) => {
        if (pattern.test(name)) this.root.append(this.row(driver, name, i));
      });
    }
  }

  private check(driver: Driver): HTMLElement {
    const input = element("input", { type: "checkbox" });
    input.checked = driver.alive;
    input.onchange = () => (driver.alive = input.checked);
    return element("label", { class: "check" }, input, "Blinks, glances and sway");
  }

  private row(driver: Driver, name: string, i: number): HTMLElement {
    const input = element("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0" });
    this.inputs[i] = input;
    input.oninput = () => driver.setCoefficients(this.inputs.map((x) => Number(x.value)));
    const words = name.replace(/([A-Z])/g, " $1").toLowerCase();
    return element("label", { class: "row" }, element("span", {}, words), input);
  }

  /** Show what another source set. */
  follow(values: Float32Array): void {
    if (this.root.hidden) return;
    this.inputs.forEach((input, i) => {
      if (Math.abs(Number(input.value) - values[i]) > 0.005) input.value = String(values[i]);
    });
  }
}
