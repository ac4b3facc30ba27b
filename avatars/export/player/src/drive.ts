// Who moves the face: a recording, or coefficients from sliders, a program, a socket or speech, with life added.

import { Bundle, PlayerError } from "./bundle";
import { emotionVector, Feeling } from "./emotion";
import { between, Expression, habitsOf, Life, Movement, STEP } from "./life";
import { apply, matrixOf, multiply, quatOfRotvec, rotvecOf, transposed, Vec3 } from "./maths";
import { blend, Motion } from "./motion";
import { State } from "./rig";
import { HeadPose, Subject } from "./subject";
import { offsets, Talk } from "./talk";

const EASE = 0.4;

export class Driver {
  readonly subject: Subject;
  readonly motion: Motion;
  readonly names: readonly string[];
  playing: boolean;
  /** Blinks, glances and a head that sways, where nothing else moves them. */
  alive = true;
  /** Whether the eyes follow `viewer`. */
  follow = true;
  /** Where the one who looks is, in canonical space. */
  viewer: Vec3 | null = null;
  readonly coefficients = new Float32Array(52);
  /** What is being said, on top of the coefficients. */
  talk: Talk | null = null;
  private readonly feeling = new Feeling();
  private head: { rotation: Vec3; translation: Vec3 } = { rotation: [0, 0, 0], translation: [0, 0, 0] };
  private readonly life: Life;
  private readonly eyes: Expression;
  private movement: [Movement, Movement];
  private due = 0;
  private playhead = 0;
  private direction = 1;
  private from: State | null = null;
  private eased = EASE;
  private last: State;

  constructor(bundle: Bundle) {
    this.names = bundle.manifest.coefficients;
    this.subject = new Subject(bundle);
    this.eyes = new Expression(this.names);
    this.life = new Life(habitsOf(bundle));
    const first = this.life.tick();
    this.movement = [first, first];
    this.last = this.subject.state(this.coefficients);
    this.motion = new Motion(bundle, this.subject.size);
    this.playing = this.motion.count > 1;
  }

  /** Play or stop the recording; either way the face eases over instead of jumping. */
  play(on: boolean): void {
    if (on && this.talk) this.hush();
    if (on === this.playing || (on && this.motion.count < 2)) return;
    this.playing = on;
    this.ease();
  }

  /** Go over to what comes next instead of jumping. */
  ease(): void {
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

  /**
   * Take on an emotion within 0.3 s, alone and while speaking; the recording stops.
   * @param weights of neutral, happy, sad, angry, fear, disgust, surprise and contempt
   * @param intensity from 0 to 1.5
   */
  async setEmotion(weights: Record<string, number>, intensity = 1): Promise<void> {
    const goal = emotionVector(weights, intensity);
    this.feeling.offsets ??= await offsets();
    this.feeling.goal = goal;
    this.talk?.feel(goal);
    this.play(false);
  }

  /** The emotion that was asked for. */
  get emotion(): Float32Array {
    return this.feeling.goal;
  }

  /** The state `step` s after the last. */
  advance(step: number): State {
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
    this.ease();
  }

  /** Forwards, then backwards, so that no jump shows where the recording ends. */
  private recorded(step: number): State {
    this.playhead += this.direction * step;
    if (this.playhead >= this.motion.duration) [this.playhead, this.direction] = [this.motion.duration, -1];
    if (this.playhead <= 0) [this.playhead, this.direction] = [0, 1];
    return this.motion.at(this.playhead);
  }

  private driven(step: number): State {
    const { feeling } = this, values = this.coefficients.slice();
    feeling.advance(step);
    const spoken = this.talk?.now(feeling.now);
    if (this.talk && !spoken) this.hush();
    if (!spoken) feeling.offsets?.add(values, feeling.now);
    else for (let i = 0; i < 52; i++) values[i] += spoken[i];
    let { rotation, translation } = this.head;
    if (this.alive) {
      const told = this.eyes.looking(this.coefficients), held = this.follow && this.viewer && !told;
      const moved = this.moved(step, Boolean(held));
      rotation = rotvecOf(multiply(matrixOf(quatOfRotvec(rotation)), matrixOf(quatOfRotvec(moved.rotation as Vec3))));
      translation = translation.map((x, i) => x + moved.translation[i]) as Vec3;
      const [yaw, pitch] = held ? this.towards(this.viewer!, rotation, translation) : [0, 0];
      this.eyes.add(values, { ...moved, yaw: moved.yaw + yaw, pitch: moved.pitch + pitch }, !told);
    }
    return this.subject.state(values.map((x) => Math.min(Math.max(x, 0), 1)), { rotation, translation });
  }

  /** What the life of the face adds `step` s later: between its ticks, which hear what is said. */
  private moved(step: number, following: boolean): Movement {
    this.due += step;
    for (; this.due >= STEP; this.due -= STEP)
      this.movement = [this.movement[1], this.life.tick(this.talk?.heard(), following)];
    return between(...this.movement, this.due / STEP);
  }

  /** Angles (to the left, up) from the head's forward to a point, no further than eyes like to turn. */
  private towards(point: Vec3, rotation: Vec3, translation: Vec3): [number, number] {
    const back = transposed(matrixOf(quatOfRotvec(rotation))), eyes: Vec3 = [0, 0.017, 0.09];
    const to = apply(back, point.map((x, i) => x - translation[i]) as Vec3).map((x, i) => x - eyes[i]);
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
