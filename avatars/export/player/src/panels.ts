// The drawers beside the picture: the face by hand, and the settings.

import { element, icon } from "./controls";
import { EMOTIONS } from "./emotion";
import { Driver } from "./drive";

/** A drawer that opens and closes. */
class Panel {
  readonly root: HTMLElement;
  protected readonly body = element("div", { class: "body" });

  constructor(title: string, close: () => void) {
    const shut = element("button", { type: "button", class: "round", title: `Close ${title.toLowerCase()} (Esc)`, "aria-label": "Close" }, icon("close"));
    shut.onclick = close;
    this.root = element("section", { class: "panel", "aria-label": title, hidden: "" },
      element("header", {}, element("h2", {}, title), shut), this.body);
  }
}

const both = (values: Record<string, number>) =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => [[`${name}Left`, value], [`${name}Right`, value]]));

/** Faces to start from: those of avatars/viewer/presets.py. */
const FACES: Record<string, Record<string, number>> = {
  Rest: {},
  Smile: both({ mouthSmile: 0.75, cheekSquint: 0.4, eyeSquint: 0.25 }),
  Laugh: { ...both({ mouthSmile: 0.8, cheekSquint: 0.6, eyeSquint: 0.45, mouthUpperUp: 0.3 }), jawOpen: 0.35 },
  Surprise: { ...both({ eyeWide: 0.8, browOuterUp: 0.8 }), browInnerUp: 0.9, jawOpen: 0.35 },
  Sad: { ...both({ mouthFrown: 0.6, eyeSquint: 0.2 }), browInnerUp: 0.8, mouthShrugLower: 0.3 },
  Angry: both({ browDown: 0.9, noseSneer: 0.4, eyeSquint: 0.3, mouthPress: 0.4 }),
  Kiss: { mouthPucker: 0.9, mouthFunnel: 0.2 },
  Wink: { eyeBlinkLeft: 1, mouthSmileLeft: 0.5, cheekSquintLeft: 0.5 },
};

const GROUPS: [string, RegExp][] = [
  ["Jaw", /^jaw/], ["Mouth", /^mouth/], ["Eyes", /^eye/], ["Brows", /^brow/], ["Cheeks, nose, tongue", /^(cheek|nose|tongue)/],
];

/** Expressions by name, and a slider for each of the 52 coefficients. */
export class FacePanel extends Panel {
  private readonly inputs: HTMLInputElement[] = [];

  constructor(driver: Driver, feel: (name: string, intensity: number) => void, close: () => void) {
    super("Face", close);
    const faces = element("div", { class: "chips", role: "group", "aria-label": "Expressions" });
    for (const [name, values] of Object.entries(FACES)) {
      const chip = element("button", { type: "button" }, name);
      chip.onclick = () => {
        driver.setCoefficients(values);
        driver.ease();
      };
      faces.append(chip);
    }
    const emotion = element("select"), strength = element("input", { type: "range", min: "0", max: "1.5", step: "0.05", value: "1" });
    emotion.replaceChildren(...EMOTIONS.map((name) => new Option(name[0].toUpperCase() + name.slice(1), name)));
    const changed = () => {
      strength.disabled = emotion.value === EMOTIONS[0]; // there is nothing to be more of
      feel(emotion.value, Number(strength.value));
    };
    strength.disabled = true;
    emotion.onchange = strength.oninput = changed;
    this.body.append(
      faces, element("h3", { title: "Stays while other things move the face, and colours its speech" }, "Emotion"),
      element("label", { class: "row" }, element("span", {}, "Feels"), emotion),
      element("label", { class: "row" }, element("span", {}, "How much"), strength),
    );
    for (const [title, pattern] of GROUPS) {
      this.body.append(element("h3", {}, title));
      driver.names.forEach((name, i) => {
        if (pattern.test(name)) this.body.append(this.row(driver, name, i));
      });
    }
  }

  private row(driver: Driver, name: string, i: number): HTMLElement {
    const input = element("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0" });
    this.inputs[i] = input;
    input.oninput = () => driver.setCoefficients(this.inputs.map((x) => Number(x.value)));
    const words = name.replace(/^(jaw|mouth|eye|brow)(?=[A-Z])/, "").replace(/([A-Z])/g, " $1").trim().toLowerCase();
    return element("label", { class: "row" }, element("span", { title: name }, words), input);
  }

  /** Show what another source set. */
  follow(values: Float32Array): void {
    if (this.root.hidden) return;
    this.inputs.forEach((input, i) => {
      if (Math.abs(Number(input.value) - values[i]) > 0.005) input.value = String(values[i]);
    });
  }
}

export interface Facts { name: string; license: string; consent: string; writtenBy: string }
export interface Choices {
  theme(): void; reset(): void; level(count: number): void;
  /** Take coefficients from an address, null to stop; false if it is none. */
  connect(address: string | null): boolean;
}

const KEYS = "Space plays, M speaks, F and S open the drawers, arrows turn, + and − come closer, R resets, B changes the background.";

/** How it looks and behaves, and whose it is. */
export class SettingsPanel extends Panel {
  private readonly address = element("input", {
    type: "url", value: "ws://localhost:8765", spellcheck: "false", "aria-label": "Address of the program",
  });
  private readonly join = element("button", { type: "button" }, "Connect");
  private readonly level = element("select");
  private connected = false;

  constructor(driver: Driver, facts: Facts, counts: number[], choices: Choices, close: () => void) {
    super("Settings", close);
    const theme = element("button", { type: "button" }, "Light or dark"), reset = element("button", { type: "button" }, "Reset view");
    theme.onclick = () => choices.theme();
    reset.onclick = () => choices.reset();
    const label = (n: number) => `${(n / 1000).toFixed(n % 1000 ? 1 : 0)}k splats`;
    this.level.replaceChildren(...counts.map((n) => new Option(label(n), String(n), false, n === counts.at(-1))));
    this.level.onchange = () => choices.level(Number(this.level.value));
    this.join.onclick = () => this.connection(choices.connect(this.connected ? null : this.address.value) && !this.connected);
    this.body.append(
      element("h3", {}, "View"), element("div", { class: "chips" }, theme, reset),
      element("label", { class: "row" }, element("span", {}, "Detail"), this.level),
      element("h3", {}, "Behaviour"),
      check("Blinks, glances and sway", driver.alive, (on) => (driver.alive = on)),
      check("Eyes follow the viewer", driver.follow, (on) => (driver.follow = on)),
      element("h3", {}, "Coefficients from a program"), element("div", { class: "join" }, this.address, this.join),
      element("h3", {}, "About"), about(facts), element("h3", {}, "Keys"), element("p", {}, KEYS),
    );
  }

  /** Show whether a program is connected. */
  connection(on: boolean): void {
    this.connected = on;
    this.join.textContent = on ? "Disconnect" : "Connect";
  }

  /** The chosen number of splats. */
  get detail(): number {
    return Number(this.level.value);
  }
}

function check(words: string, on: boolean, change: (on: boolean) => void): HTMLElement {
  const input = element("input", { type: "checkbox" });
  input.checked = on;
  input.onchange = () => change(input.checked);
  return element("label", { class: "check" }, input, words);
}

function about({ name, license, consent, writtenBy }: Facts): HTMLElement {
  const list = element("dl");
  for (const [term, words] of [["Name", name], ["Licence", license], ["Consent", consent], ["Made with", writtenBy]])
    if (words) list.append(element("dt", {}, term), element("dd", {}, words));
  return list;
}
