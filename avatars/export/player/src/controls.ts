// The bar of buttons, and what its buttons are made of. Text from a bundle is only ever set as text.

export interface Actions {
  play(): void; microphone(): void; sound(file: File): void; face(): void; settings(): void; vr(): void;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K, words: Partial<Record<string, string>> = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(words)) made.setAttribute(name, value!);
  made.append(...children);
  return made;
}

/** Strokes on a grid of 24. */
const DRAWINGS = {
  play: "M8 5v14l11-7z", pause: "M8 5v14M16 5v14",
  microphone: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  sound: "M4 10v4M8 6v12M12 9v6M16 4v16M20 9v6",
  face: "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18zM8.5 9.5v.8M15.5 9.5v.8M8 14.5c2 2.6 6 2.6 8 0",
  settings: "M4 7h9M19 7h1M16 4.5v5M4 17h1M11 17h9M8 14.5v5",
  vr: "M3 8h18v9h-6l-2-2.5h-2L9 17H3z", close: "M6 6l12 12M18 6L6 18",
} as const;
export type Drawing = keyof typeof DRAWINGS;

export function icon(name: Drawing): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", DRAWINGS[name]);
  svg.append(path);
  return svg;
}

/** A button with a drawing above its word. */
class Button {
  readonly root: HTMLButtonElement;
  private readonly word = element("span");
  private shown = "";

  constructor(private drawing: Drawing, word: string, title: string) {
    this.root = element("button", { type: "button", title }, icon(drawing), this.word);
    this.name(drawing, word);
  }

  name(drawing: Drawing, word: string): void {
    if (this.shown === word) return;
    this.shown = this.word.textContent = word;
    if (drawing !== this.drawing) this.root.replaceChild(icon(drawing), this.root.firstChild!);
    this.drawing = drawing;
  }

  press(on: boolean): void {
    const value = String(on);
    if (this.root.getAttribute("aria-pressed") !== value) this.root.setAttribute("aria-pressed", value);
  }
}

/** The bar below the picture. */
export class Bar {
  readonly root = element("div", { class: "bar", role: "toolbar", "aria-label": "Avatar" });
  readonly play = new Button("pause", "Pause", "Play or stop the recording (space)");
  readonly microphone = new Button("microphone", "Speak", "Speak through the face by microphone; the sound stays in this page (m)");
  readonly sound = new Button("sound", "Sound file", "Let the face speak a recording");
  readonly face = new Button("face", "Face", "Expressions and sliders (f)");
  readonly settings = new Button("settings", "Settings", "View, behaviour and facts (s)");
  readonly vr = new Button("vr", "Enter VR", "Show the head at life size in a headset");
  private readonly file = element("input", { type: "file", accept: "audio/*,video/*", hidden: "" });

  constructor(actions: Actions) {
    const { play, microphone, sound, face, settings, vr, file } = this;
    play.root.onclick = () => actions.play();
    microphone.root.onclick = () => actions.microphone();
    sound.root.onclick = () => file.click();
    file.onchange = () => {
      const chosen = file.files?.[0];
      file.value = "";
      if (chosen) actions.sound(chosen);
    };
    face.root.onclick = () => actions.face();
    settings.root.onclick = () => actions.settings();
    vr.root.onclick = () => actions.vr();
    vr.root.hidden = true;
    this.root.append(play.root, microphone.root, sound.root, file, face.root, settings.root, vr.root);
  }
}
