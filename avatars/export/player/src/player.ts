// <avatar-player src="folder/">: loads a bundle, draws it, and lets a page or a person drive it.

import { loadBundle, Manifest, PlayerError } from "./bundle";
import { Bar, element } from "./controls";
import { connect, Driver } from "./drive";
import { GL, openGl } from "./gl";
import { Vec3 } from "./maths";
import { FacePanel, SettingsPanel } from "./panels";
import { State } from "./rig";
import { Programs, Splats, View } from "./splats";
import { HeadPose } from "./subject";
import { STYLE } from "./style";
import { microphone, soundFile, Talk } from "./talk";
import { lookAt, Orbit } from "./view";
import { enterVr, vrAvailable, XrSession } from "./xr";

const BACKGROUND = { dark: [23 / 255, 25 / 255, 29 / 255, 1], light: [242 / 255, 242 / 255, 239 / 255, 1] } as const;
const MAX_PIXELS = 2.2e6;
const MIN_SHARPNESS = 0.5;
const VR_SPLATS = 30_000;

/** What to draw in `snapshot`. */
export interface Shot {
  /** A row of the recording; else `coefficients`; else the face as it is now. */
  row?: number; coefficients?: ArrayLike<number>; head?: HeadPose;
  /** px; the capture's size if absent. */
  width?: number; height?: number;
  /** sRGB and alpha in [0, 1]; transparent if absent. */
  background?: [number, number, number, number];
  /** Look from here at there, m, with a focal length in px; the capture's camera if absent. */
  eye?: Vec3; target?: Vec3; focal?: number;
}

export class AvatarPlayer extends HTMLElement {
  static observedAttributes = ["src", "theme"];
  /** Resolves when the avatar is on screen, rejects with a readable error. */
  readonly ready: Promise<void>;
  /** Mean time of the page's own work per frame, ms; drawing by the GPU is apart. */
  cost = 0;
  private settle!: { done: () => void; fail: (error: unknown) => void };
  private readonly canvas = element("canvas", { tabindex: "0", role: "img", "aria-label": "Avatar" });
  private readonly message = element("div", { class: "message", role: "alert" });
  private readonly note = element("div", { class: "note", role: "status", hidden: "" });
  private readonly name = element("div", { class: "name", hidden: "" });
  private readonly bar: Bar;
  private face: FacePanel | null = null;
  private settings: SettingsPanel | null = null;
  private gl: GL | null = null;
  private splats: Splats | null = null;
  private orbit: Orbit | null = null;
  private session: XrSession | null = null;
  private lastTime = 0;
  private interval = 16;
  private sharpness = 1;
  private socket: WebSocket | null = null;
  private noteEnd: ReturnType<typeof setTimeout> | undefined;
  /** Stop drawing, to spare the machine while the avatar is out of sight. */
  paused = false;
  /** What moves the face. */
  driver: Driver | null = null;

  constructor() {
    super();
    this.ready = new Promise((done, fail) => (this.settle = { done, fail }));
    this.ready.catch(() => undefined); // shown on the page; a caller may still handle it
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    this.bar = new Bar({
      microphone: () => void this.toggleMicrophone(), sound: (file) => void this.speak(file), play: () => this.togglePlay(),
      face: () => this.open(this.face), settings: () => this.open(this.settings), vr: () => void this.toggleVr(),
    });
    this.bar.root.hidden = true;
    root.append(this.canvas, this.name, this.bar.root, this.note, this.message);
    this.listen();
  }

  private started = false;

  connectedCallback(): void {
    if (!this.hasAttribute("theme") && matchMedia("(prefers-color-scheme: light)").matches) this.setAttribute("theme", "light");
    if (!this.started && this.hasAttribute("src")) void this.start();
  }

  attributeChangedCallback(name: string): void {
    if (name === "src" && this.isConnected && !this.started) void this.start();
  }

  get theme(): "dark" | "light" {
    return this.getAttribute("theme") === "light" ? "light" : "dark";
  }

  private async start(): Promise<void> {
    this.started = true;
    const bar = element("progress", { max: "1", value: "0", "aria-label": "Loading" });
    this.message.replaceChildren(element("b", {}, "Loading"), bar);
    try {
      const folder = new URL(this.getAttribute("src")!.replace(/\/*$/, "/"), document.baseURI);
      const loading = loadBundle(folder, undefined, (share) => (bar.value = share));
      loading.catch(() => undefined); // heard of below, unless there is no way to draw
      this.gl = openGl(this.canvas);
      const programs = new Programs(this.gl), bundle = await loading;
      this.splats = new Splats(this.gl, programs, bundle);
      this.driver = new Driver(bundle);
      this.orbit = new Orbit(bundle.manifest.camera);
      this.splats.edge = this.orbit.edge();
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.driver.alive = false;
        this.driver.play(false);
      }
      this.furnish(bundle.manifest, this.driver);
      this.paint(performance.now()); // a device that cannot says so here
      this.message.hidden = true;
      performance.mark("avatar-shown");
      this.settle.done();
      requestAnimationFrame((time) => this.frame(time));
      this.bar.vr.root.hidden = !(await vrAvailable());
    } catch (error) {
      const known = error instanceof PlayerError;
      this.say(known ? error.message : String(error).slice(0, 300));
      if (!known) console.error(error);
      this.settle.fail(error);
    }
  }

  /** Everything around the picture. */
  private furnish(manifest: Manifest, driver: Driver): void {
    const bare = this.getAttribute("controls") === "none", { name } = manifest;
    const choices = {
      theme: () => this.setAttribute("theme", this.theme === "dark" ? "light" : "dark"), reset: () => this.orbit?.reset(),
      level: (n: number) => this.splats?.setLevel(n),
      connect: (address: string | null) => {
        try {
          this.connect(address);
          return address !== null;
        } catch (error) {
          this.hint(error instanceof Error ? error.message : String(error));
          return false;
        }
      },
    };
    const facts = { ...manifest, writtenBy: manifest.written_by }, counts = [...manifest.lods, this.splats!.count];
    const feel = (name: string, intensity: number) =>
      void this.setEmotion({ [name]: 1 }, intensity).catch((error: unknown) =>
        this.hint(error instanceof Error ? error.message : String(error)));
    this.face = new FacePanel(driver, feel, () => this.open(this.face));
    this.settings = new SettingsPanel(driver, facts, counts, choices, () => this.open(this.settings));
    this.note.before(this.face.root, this.settings.root);
    this.bar.root.hidden = bare;
    this.name.textContent = name;
    this.name.hidden = bare || !name;
    this.canvas.setAttribute("aria-label", name ? `Avatar of ${name}` : "Avatar");
  }

  private say(text: string): void {
    this.message.replaceChildren(element("b", {}, "The avatar cannot be shown"), element("p", {}, text));
    this.message.hidden = false;
  }

  private hint(text: string): void {
    this.note.textContent = text;
    this.note.hidden = false;
    clearTimeout(this.noteEnd);
    this.noteEnd = setTimeout(() => (this.note.hidden = true), 7000);
  }

  // -- drawing ------------------------------------------------------------------------------------------------

  private frame(time: number): void {
    if (this.session) return; // the headset's own clock runs
    requestAnimationFrame((next) => this.frame(next));
    if (this.paused || !this.isConnected || !this.splats || this.gl!.isContextLost() || this.splats.busy) return;
    this.adapt(time - this.lastTime);
    this.paint(time);
  }

  /** Draw the moment `time`, ms. */
  private paint(time: number): void {
    const [width, height] = this.resize();
    const scale = width / Math.max(this.canvas.clientWidth, 1), [right, bottom] = this.covered;
    const view = this.orbit!.view(width, height, right * scale, bottom * scale);
    this.driver!.viewer = this.orbit!.position();
    this.move(time, view);
    this.splats!.render(view, BACKGROUND[this.theme], null);
  }

  /** CSS px on the right and at the bottom that a drawer or the bar hides. */
  private get covered(): [number, number] {
    const panel = [this.face, this.settings].find((p) => p && !p.root.hidden)?.root, { clientWidth, clientHeight } = this.canvas;
    // In a tall window the picture stands on its lower edge, which the bar then hides.
    if (!panel) return [0, clientWidth < clientHeight && !this.bar.root.hidden ? 0.6 * (clientHeight - this.bar.root.offsetTop) : 0];
    return panel.offsetWidth < 0.6 * clientWidth ? [panel.offsetWidth, 0] : [0, clientHeight - panel.offsetTop];
  }

  /** Give up pixels where the device cannot draw them 20 times a second. */
  private adapt(interval: number): void {
    if (!this.lastTime || interval > 1000) return; // the first picture, or the page was hidden
    this.interval += 0.1 * (interval - this.interval);
    if (this.interval < 50 || this.sharpness <= MIN_SHARPNESS) return;
    this.sharpness = Math.max(MIN_SHARPNESS, 0.8 * this.sharpness);
    this.interval = 16;
  }

  /** Advance the face to `time` (ms), move and sort the splats. */
  private move(time: number, view: View): void {
    const before = performance.now();
    const step = this.lastTime ? Math.min(Math.max(time - this.lastTime, 0) / 1000, 0.25) : 0;
    this.splats!.update(this.driver!.advance(step));
    this.splats!.fetchCentres(!this.lastTime); // the first picture waits for its order
    this.splats!.sort(view);
    this.lastTime = time;
    this.cost += 0.05 * (performance.now() - before - this.cost);
    const { playing, talk, coefficients } = this.driver!;
    this.bar.microphone.press(talk !== null);
    this.bar.microphone.name("microphone", talk ? "Stop" : "Speak");
    this.bar.play.name(playing ? "pause" : "play", playing ? "Pause" : "Play");
    this.face!.follow(coefficients);
  }

  /** Fit the canvas to its box, at the screen's resolution within limits. */
  private resize(): [number, number] {
    const box = this.canvas.getBoundingClientRect(), area = Math.max(box.width * box.height, 1);
    const ratio = this.sharpness * Math.min(devicePixelRatio || 1, Math.sqrt(MAX_PIXELS / area));
    const width = Math.max(1, Math.round(box.width * ratio)), height = Math.max(1, Math.round(box.height * ratio));
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    return [width, height];
  }

  /** A picture of the avatar: exact, at any size, of any moment. */
  snapshot(shot: Shot = {}): ImageData {
    const { gl, splats, driver, orbit } = this;
    if (!gl || !splats || !driver || !orbit) throw new PlayerError("The avatar is not loaded yet.");
    const camera = orbit.captured;
    const width = shot.width ?? camera.width, height = shot.height ?? camera.height;
    const view = shot.eye
      ? lookAt(shot.eye, shot.target ?? [0, 0, 0.05], shot.focal ?? camera.fx, width, height)
      : orbit.capturedView(width, height);
    splats.update(this.stateOf(shot, driver));
    splats.fetchCentres(true);
    splats.sort(view);
    const target = gl.createFramebuffer()!, buffer = gl.createRenderbuffer()!;
    gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.RGBA8, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, buffer);
    const { edge } = splats;
    splats.edge = null;
    splats.render(view, shot.background ?? [0, 0, 0, 0], target);
    splats.edge = edge;
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    const rows = new Uint8ClampedArray(4 * width * height), out = new Uint8ClampedArray(rows.length);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rows);
    for (let y = 0; y < height; y++) out.set(rows.subarray(4 * width * (height - 1 - y), 4 * width * (height - y)), 4 * width * y);
    gl.deleteFramebuffer(target);
    gl.deleteRenderbuffer(buffer);
    return new ImageData(straightened(out), width, height);
  }

  /** What `snapshot` would draw: expression and canonical poses. */
  state(shot: Shot = {}): State {
    if (!this.driver) throw new PlayerError("The avatar is not loaded yet.");
    return this.stateOf(shot, this.driver);
  }

  private stateOf(shot: Shot, driver: Driver): State {
    if (shot.row !== undefined) {
      if (!(shot.row >= 0 && shot.row < driver.motion.count)) throw new PlayerError(`The recording has no row ${shot.row}.`);
      return driver.motion.row(shot.row);
    }
    return shot.coefficients ? driver.subject.state(shot.coefficients, shot.head) : driver.advance(0);
  }

  // -- driving ------------------------------------------------------------------------------------------------

  /** Drive the face: 52 numbers in ARKit's order, or some by name; rotation in rad and translation in m optional. */
  setCoefficients(values: ArrayLike<number> | Record<string, number>, head: HeadPose = {}): void {
    if (!this.driver) throw new PlayerError("The avatar is not loaded yet.");
    this.driver.setCoefficients(values, head);
  }

  /** Take coefficients from a WebSocket; null disconnects. */
  connect(address: string | null): void {
    this.socket?.close();
    this.socket = address && this.driver ? connect(address, this.driver, (why) => this.hint(why)) : null;
    this.socket?.addEventListener("close", () => this.settings?.connection(false));
  }

  /** Speak a sound file or recording; rejects with a readable error. */
  async speak(sound: Blob): Promise<void> {
    await this.talking((emotion) => soundFile(sound, emotion));
  }

  private async toggleMicrophone(): Promise<void> {
    if (this.driver?.talk) this.driver.hush();
    else await this.talking(microphone);
  }

  /** Take on an emotion, such as {happy: 0.6, surprise: 0.2}, at an intensity from 0 to 1.5; see `Driver.setEmotion`. */
  async setEmotion(weights: Record<string, number>, intensity = 1): Promise<void> {
    if (!this.driver) throw new PlayerError("The avatar is not loaded yet.");
    await this.driver.setEmotion(weights, intensity);
  }

  private async talking(start: (emotion: Float32Array) => Promise<Talk>): Promise<void> {
    try {
      this.driver!.say(await start(this.driver!.emotion));
    } catch (error) {
      this.hint(error instanceof PlayerError ? error.message : `No speech: ${String(error).slice(0, 200)}`);
    }
  }

  private togglePlay(): void {
    this.driver?.play(!this.driver.playing);
  }

  /** Open or close a drawer; only one is open. */
  private open(panel: FacePanel | SettingsPanel | null): void {
    const opened = panel?.root.hidden;
    for (const [other, button] of [[this.face, this.bar.face], [this.settings, this.bar.settings]] as const) {
      if (!other) continue;
      other.root.hidden = !(opened && other === panel);
      button.press(!other.root.hidden);
    }
    if (opened && panel === this.face) this.driver!.play(false);
    if (!opened && this.shadowRoot!.activeElement === null) this.canvas.focus({ preventScroll: true });
  }

  private async toggleVr(): Promise<void> {
    if (this.session) return this.session.end();
    try {
      if (this.splats!.count > VR_SPLATS) this.splats!.setLevel(VR_SPLATS);
      this.session = await enterVr(this.gl!, (time, eyes, into, viewer) => {
        this.driver!.viewer = viewer;
        this.move(time, eyes[0].view);
        for (const { view, x, y } of eyes) this.splats!.render(view, BACKGROUND.dark, into, x, y);
      }, () => {
        this.session = null;
        this.splats!.setLevel(this.settings!.detail);
        this.bar.vr.name("vr", "Enter VR");
        requestAnimationFrame((time) => this.frame(time));
      });
      this.bar.vr.name("vr", "Leave VR");
    } catch (error) {
      this.hint(`The headset cannot be used: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  private listen(): void {
    const { canvas } = this, pointers = new Map<number, PointerEvent>();
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, event);
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last || !this.orbit) return;
      const others = [...pointers.values()].filter((p) => p.pointerId !== event.pointerId);
      if (others.length) {
        const gap = (p: PointerEvent) => Math.hypot(p.clientX - others[0].clientX, p.clientY - others[0].clientY);
        this.orbit.scale(gap(event) / Math.max(gap(last), 1));
      } else this.orbit.rotate((last.clientX - event.clientX) / 250, (last.clientY - event.clientY) / 250);
      pointers.set(event.pointerId, event);
    });
    for (const name of ["pointerup", "pointercancel"] as const)
      canvas.addEventListener(name, (event) => void pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.orbit?.scale(Math.exp(-event.deltaY / 600));
    }, { passive: false });
    canvas.addEventListener("dblclick", () => this.orbit?.reset());
    canvas.addEventListener("keydown", (event) => this.key(event));
    this.shadowRoot!.addEventListener("keydown", (event) => {
      if ((event as KeyboardEvent).key === "Escape") this.open(null);
    });
    canvas.addEventListener("webglcontextlost", () => this.say("The graphics driver was reset. Reload the page."));
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const actions: Record<string, () => void> = {
      " ": () => this.togglePlay(), m: () => void this.toggleMicrophone(), r: () => this.orbit?.reset(),
      f: () => this.open(this.face), s: () => this.open(this.settings),
      b: () => this.setAttribute("theme", this.theme === "dark" ? "light" : "dark"), "+": () => this.orbit?.scale(1.1), "-": () => this.orbit?.scale(1 / 1.1),
      ArrowLeft: () => this.orbit?.rotate(-0.1, 0), ArrowRight: () => this.orbit?.rotate(0.1, 0),
      ArrowUp: () => this.orbit?.rotate(0, -0.1), ArrowDown: () => this.orbit?.rotate(0, 0.1),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

/** ImageData wants colours that are not multiplied by alpha. */
function straightened(data: Uint8ClampedArray): Uint8ClampedArray<ArrayBuffer> {
  const out = new Uint8ClampedArray(data);
  for (let i = 0; i < out.length; i += 4) {
    const a = out[i + 3];
    if (a > 0 && a < 255) for (let k = 0; k < 3; k++) out[i + k] = (out[i + k] * 255) / a;
  }
  return out;
}
