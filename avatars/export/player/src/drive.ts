// Who moves the face: a recording, or coefficients from sliders, a program, a socket or speech, with life added.

import { Alive, lookCoefficients } from "./alive";
import { Bundle, PlayerError } from "./bundle";
import { apply, matrixOf, multiply, quatOfRotvec, rotvecOf, transposed, Vec3 } from "./maths";
import { blend, Motion } from "./motion";
import { State } from "./rig";
import { HeadPose, Subject } from "./subject";
import { Talk } from "./talk";

const EASE = 0.4;

export class Driver {
  readonly subject: Subject;
  readonly motion: Motion;
  readonly names: readonly string[];
  playing: boolean;
  /** Blinks, glances and a head that sways, where nothing else moves them. */
  alive = true;
  /** A point in canonical space that the eyes follow. */
  lookAt: Vec3 | null = null;
  readonly coefficients = new Float32Array(52);
  /** What is being said, on top of the coefficients. */
  talk: Talk | null = null;
  private head: { rotation: Vec3; translation: Vec3 } = { rotation: [0, 0, 0], translation: [0, 0, 0] };
  private readonly life = new Alive();
  private clock = 0;
  private playhead = 0;
  private direction = 1;
  private from: State | null = null;
  private eased = EASE;
  private last: State;

  constructor(bundle: Bundle) {
    this.names = bundle.manifest.coefficients;
    this.subject = new Subject(bundle);
    this.last = this.subject.state(this.coefficients);
    this.motion = new Motion(bundle, this.subject.size);
    this.playing = this.motion.count > 1;
  }

  /** Play or stop the recording; either way the face eases over instead of jumping. */
  play(on: boolean): void {
    if (on && this.talk) this.hush();
    if (on === this.playing || (on && this.motion.count < 2)) return;
    this.playing = on;
    this.from = this.last;
    this.eased = 0;
  }

  /**
   * Drive the face.
   * @param values 52 numbers in ARKit's order, or some of them by name; the rest are 0
   */
  setCoefficients(values: ArrayLike<number> | Record<string, number>, head: HeadPose = {}): void {
    const next = new Float32Array(52);
    if (isArrayLike(values)) {
      if (values.length !== 52) throw new PlayerError(`Expected 52 coefficients, not ${values.length}.`);
      next.set(Array.from(values));
    } else {
      for (const [name, value] of Object.entries(values)) {
        const i = this.names.indexOf(name);
        if (i < 0) throw new PlayerError(`There is no coefficient "${name.slice(0, 40)}".`);
        next[i] = value;
      }
    }
    const rotation = Array.from(head.rotation ?? [0, 0, 0]), translation = Array.from(head.translation ?? [0, 0, 0]);
    const good = [...next, ...rotation, ...translation].every((x) => typeof x === "number" && Number.isFinite(x));
    if (!good || rotation.length !== 3 || translation.length !== 3)
      throw new PlayerError("Coefficients, rotation and translation must be finite numbers.");
    this.coefficients.set(next);
    this.head = { rotation: rotation as Vec3, translation: translation as Vec3 };
    this.play(false);
  }

  /** The state `step` s after the last. */
  advance(step: number): State {
    this.clock += step;
    let state = this.playing ? this.recorded(step) : this.driven(step);
    if (this.from && this.eased < EASE) {
      this.eased += step;
      const x = Math.min(this.eased / EASE, 1);
      state = blend(this.from, state, x * x * (3 - 2 * x));
    } else this.from = null;
    return (this.last = state);
  }

  /** Speak; the recording stops. */
  say(talk: Talk): void {
    this.hush();
    this.play(false);
    this.talk = talk;
  }

  /** Stop speaking. */
  hush(): void {
    this.talk?.stop();
    this.talk = null;
    this.from = this.last;
    this.eased = 0;
  }

  /** Forwards, then backwards, so that no jump shows where the recording ends. */
  private recorded(step: number): State {
    this.playhead += this.direction * step;
    if (this.playhead >= this.motion.duration) [this.playhead, this.direction] = [this.motion.duration, -1];
    if (this.playhead <= 0) [this.playhead, this.direction] = [0, 1];
    return this.motion.at(this.playhead);
  }

  private driven(step: number): State {
    const values = this.coefficients.slice();
    const spoken = this.talk?.now();
    if (spoken) for (let i = 0; i < 52; i++) values[i] = Math.min(values[i] + spoken[i], 1);
    else if (this.talk) this.hush();
    let rotation = this.head.rotation;
    if (this.alive) {
      const { blink, gaze, turn } = this.life.at(this.clock, step);
      rotation = rotvecOf(multiply(matrixOf(quatOfRotvec(rotation)), matrixOf(quatOfRotvec(turn))));
      const told = this.names.some((name, i) => name.startsWith("eyeLook") && values[i] > 0);
      if (!told) {
        const [yaw, pitch] = this.towards(rotation);
        // The eyes stay on their object while the head sways.
        lookCoefficients(yaw + gaze[0], pitch + gaze[1], this.names, values);
      }
      for (const side of ["Left", "Right"]) {
        const i = this.names.indexOf(`eyeBlink${side}`);
        values[i] = Math.max(values[i], blink);
      }
    }
    return this.subject.state(values, { rotation, translation: this.head.translation });
  }

  /** Angles (to the left, up) from the head's forward to what it looks at. */
  private towards(rotation: Vec3): [number, number] {
    const turn = transposed(matrixOf(quatOfRotvec(rotation)));
    if (!this.lookAt) {
      const ahead = apply(turn, [0, 0, 1]);
      return this.limited(Math.atan2(ahead[0], ahead[2]), Math.asin(Math.min(Math.max(ahead[1], -1), 1)));
    }
    const eyes: Vec3 = [0, 0.017, 0.09];
    const to = apply(turn, this.lookAt.map((x, i) => x - this.head.translation[i])).map((x, i) => x - eyes[i]);
    return this.limited(Math.atan2(to[0], to[2]), Math.atan2(to[1], Math.hypot(to[0], to[2])));
  }

  private limited(yaw: number, pitch: number): [number, number] {
    return [Math.min(Math.max(yaw, -0.45), 0.45), Math.min(Math.max(pitch, -0.3), 0.3)];
  }
}

function isArrayLike(x: ArrayLike<number> | Record<string, number>): x is ArrayLike<number> {
  return Array.isArray(x) || ArrayBuffer.isView(x);
}

/** Coefficients from a local program: messages {"coefficients": …, "rotation"?: …, "translation"?: …}. */
export function connect(address: string, driver: Driver, closed: (message: string) => void): WebSocket {
  const url = new URL(address, location.href);
  if (url.protocol !== "ws:" && url.protocol !== "wss:") throw new PlayerError("A socket's address starts with ws: or wss:.");
  const socket = new WebSocket(url);
  socket.onmessage = (event: MessageEvent) => {
    try {
      const message = JSON.parse(String(event.data)) as { coefficients: number[] | Record<string, number> } & HeadPose;
      driver.setCoefficients(message.coefficients, message);
    } catch (error) {
      socket.close();
      closed(error instanceof PlayerError ? error.message : "The socket sent something that is not coefficients.");
    }
  };
  socket.onerror = () => closed("The socket cannot be reached.");
  return socket;
}
