// The splats: static data in textures, moved by one pass over a texel each, drawn back to front as quads.
//
// Our own renderer and not a library: exact low-pass, compensation and colours beyond [0, 1] of the native rasterizer
// (blended in half floats), learned bases in the same pass, and a hundredth of a general engine's size.

import { Bundle, PlayerError } from "./bundle";
import { arrayTexture, GL, Program, Target } from "./gl";
import { Network, Rig, State } from "./rig";
import { BIND, BLEND, COMPOSE, COVER, DRAW } from "./shaders";
import { Sorter } from "./sort";

const WIDTH = 256, VERTEX_WIDTH = 128, MAX_BASES = 64;

/** A view: camera_from_canonical (column-major 4 × 4; x right, y down, z forward) and fx, fy, cx, cy in px. */
export interface View { matrix: Float32Array; intrinsics: [number, number, number, number]; width: number; height: number }

/** The programs, which compile in the background while the avatar is still on its way. */
export class Programs {
  readonly bind: Program;
  readonly draw: Program;
  readonly compose: Program;

  constructor(gl: GL) {
    this.bind = new Program(gl, COVER, BIND);
    this.draw = new Program(gl, DRAW, BLEND);
    this.compose = new Program(gl, COVER, COMPOSE);
  }
}

export class Splats {
  readonly count: number;
  private drawn: number;
  private grow = 1;
  private readonly rig: Rig;
  private readonly network: Network;
  private readonly statics: WebGLTexture;
  private readonly bases: WebGLTexture;
  private layers = 0;
  private readonly vertexTexture: WebGLTexture;
  private readonly vertexData: Float32Array;
  private readonly vertexHeight: number;
  private readonly height: number;
  private readonly steps: Float32Array;
  private readonly moved: Target;
  private readonly centres: Float32Array;
  private readonly sorter: Sorter;
  private readonly order: WebGLBuffer;
  private readonly array: WebGLVertexArrayObject;
  private readonly readBuffer: WebGLBuffer;
  private fence: WebGLSync | null = null;
  private drawing: WebGLSync | null = null;
  private picture: Target | null = null;
  private readonly shares: Float32Array;
  private area = new Float32Array(0);

  constructor(private readonly gl: GL, private readonly programs: Programs, bundle: Bundle) {
    this.rig = new Rig(bundle);
    this.network = new Network(bundle);
    this.count = this.drawn = bundle.packed("triangle").values.length;
    this.height = Math.max(1, Math.ceil(this.count / WIDTH));
    if (this.height > gl.getParameter(gl.MAX_TEXTURE_SIZE)) throw new PlayerError("This avatar has too many splats for this device.");
    this.statics = this.uploadStatics(bundle);
    this.steps = bundle.floats("base_steps", 3);
    this.bases = this.uploadBases(bundle);
    this.vertexHeight = Math.ceil(this.rig.vertices / VERTEX_WIDTH);
    this.vertexData = new Float32Array(3 * 4 * VERTEX_WIDTH * this.vertexHeight);
    this.vertexTexture = arrayTexture(gl, gl.RGBA32F, VERTEX_WIDTH, this.vertexHeight, 3);
    this.moved = new Target(gl, gl.RGBA32F, WIDTH, this.height, 4);
    this.centres = new Float32Array(4 * WIDTH * this.height);
    this.sorter = new Sorter(this.count);
    this.shares = this.cumulativeArea();
    this.order = gl.createBuffer()!;
    this.array = gl.createVertexArray()!;
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
    gl.bufferData(gl.ARRAY_BUFFER, 4 * this.count, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 0);
    gl.vertexAttribDivisor(0, 1);
    gl.bindVertexArray(null);
    this.readBuffer = gl.createBuffer()!;
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, this.readBuffer);
    gl.bufferData(gl.PIXEL_PACK_BUFFER, this.centres.byteLength, gl.STREAM_READ);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
  }

  private uploadStatics(bundle: Bundle): WebGLTexture {
    const { gl, count } = this;
    const faces = bundle.indices("faces", this.rig.vertices);
    const triangle = bundle.indices("triangle", faces.length / 3);
    const bary = bundle.floats("barycentric", count, 2), mean = bundle.floats("mean", count, 3);
    const quaternion = bundle.floats("quaternion", count, 4), scale = bundle.floats("log_scale", count, 3);
    const extent = bundle.floats("log_extent", count), color = bundle.floats("color", count, 3);
    const opacity = bundle.floats("logit_opacity", count);
    const layer = 4 * WIDTH * this.height, data = new Float32Array(5 * layer);
    this.area = new Float32Array(count);
    // Number by number: a list per splat would take longer than all the rest of the page's start.
    for (let i = 0; i < count; i++) {
      const a = 4 * i, b = layer + a, c = 2 * layer + a, d = 3 * layer + a, e = 4 * layer + a, face = 3 * triangle[i];
      for (let k = 0; k < 3; k++) {
        data[a + k] = faces[face + k];
        data[b + k] = mean[3 * i + k];
        data[d + k] = Math.exp(scale[3 * i + k]);
        data[e + k] = color[3 * i + k];
      }
      for (let k = 0; k < 4; k++) data[c + k] = quaternion[4 * i + k];
      const seen = 1 / (1 + Math.exp(-opacity[i])), size = Math.exp(extent[i]);
      data[a + 3] = bary[2 * i];
      data[b + 3] = bary[2 * i + 1];
      data[d + 3] = size;
      data[e + 3] = seen;
      const [x, y, z] = [data[d], data[d + 1], data[d + 2]];
      this.area[i] = (seen * size * size * x * y * z) / Math.min(x, y, z);
    }
    const texture = arrayTexture(gl, gl.RGBA32F, WIDTH, this.height, 5);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, WIDTH, this.height, 5, gl.RGBA, gl.FLOAT, data);
    return texture;
  }

  private uploadBases(bundle: Bundle): WebGLTexture {
    const { gl, count } = this, { values, shape } = bundle.packed("bases");
    const layers = 3 * shape[0], layer = 3 * WIDTH * this.height;
    const fits = values instanceof Int16Array && shape.length === 4 && shape[1] === 3 && shape[2] === count && shape[3] === 3;
    if (!fits || shape[0] > MAX_BASES || shape[0] !== (shape[0] ? this.network.bases : 0))
      throw new PlayerError("The avatar file is damaged: its learned bases do not fit.");
    this.layers = shape[0];
    const texture = arrayTexture(gl, gl.RGB16I, WIDTH, this.height, layers);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    const padded = new Int16Array(layer);
    for (let k = 0; k < layers; k++) {
      padded.set(values.subarray(3 * count * k, 3 * count * (k + 1)));
      gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, k, WIDTH, this.height, 1, gl.RGB_INTEGER, gl.SHORT, padded);
    }
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
    return texture;
  }

  private cumulativeArea(): Float32Array {
    let sum = 0;
    return this.area.map((a) => (sum += a));
  }

  /** Draw only the first `count`, each grown so that together they cover what all did. */
  setLevel(count: number): void {
    this.drawn = Math.min(Math.max(1, Math.floor(count)), this.count);
    const share = this.shares[this.drawn - 1] / this.shares[this.count - 1];
    this.grow = Math.min(2, 1 / Math.sqrt(Math.max(share, 1e-6)));
  }

  get level(): number {
    return this.drawn;
  }

  /** Move the splats to a state. */
  update(state: State): void {
    const { gl } = this, { bind } = this.programs;
    this.rig.evaluate(state, this.vertexData, 4 * VERTEX_WIDTH * this.vertexHeight);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.vertexTexture);
    const size = [VERTEX_WIDTH, this.vertexHeight, 3] as const;
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, ...size, gl.RGBA, gl.FLOAT, this.vertexData);
    const weights = this.network.run(state);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.moved.framebuffer);
    gl.viewport(0, 0, WIDTH, this.height);
    gl.disable(gl.BLEND);
    bind.use();
    bind.texture("uVertices", 0, gl.TEXTURE_2D_ARRAY, this.vertexTexture);
    bind.texture("uSplats", 1, gl.TEXTURE_2D_ARRAY, this.statics);
    bind.texture("uBases", 2, gl.TEXTURE_2D_ARRAY, this.bases);
    gl.uniform1fv(bind.at("uWeights"), weights);
    gl.uniform3fv(bind.at("uSteps"), this.steps);
    gl.uniform1i(bind.at("uCount"), this.layers);
    gl.uniform1f(bind.at("uGrow"), this.grow);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * Fetch the splats' places, which only sorting needs. Without `wait` they come a frame or two later, so that the page
   * never stalls for the GPU; an order that old shows no difference on a moving face.
   */
  fetchCentres(wait: boolean): void {
    const { gl } = this;
    if (wait) {
      if (this.fence) gl.deleteSync(this.fence);
      this.fence = null;
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.moved.framebuffer);
      gl.readBuffer(gl.COLOR_ATTACHMENT0);
      gl.readPixels(0, 0, WIDTH, this.height, gl.RGBA, gl.FLOAT, this.centres);
      return;
    }
    if (this.fence) {
      const status = gl.clientWaitSync(this.fence, 0, 0);
      if (status !== gl.ALREADY_SIGNALED && status !== gl.CONDITION_SATISFIED) return;
      gl.deleteSync(this.fence);
      gl.bindBuffer(gl.PIXEL_PACK_BUFFER, this.readBuffer);
      gl.getBufferSubData(gl.PIXEL_PACK_BUFFER, 0, this.centres);
    }
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, this.readBuffer);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.moved.framebuffer);
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    gl.readPixels(0, 0, WIDTH, this.height, gl.RGBA, gl.FLOAT, 0);
    gl.bindBuffer(gl.PIXEL_PACK_BUFFER, null);
    this.fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }

  /** Whether the GPU still works on the last picture: drawing more would only pile up. */
  get busy(): boolean {
    const { gl, drawing } = this;
    if (!drawing) return false;
    if (gl.clientWaitSync(drawing, 0, 0) === gl.TIMEOUT_EXPIRED) return true;
    gl.deleteSync(drawing);
    this.drawing = null;
    return false;
  }

  /** Sort for a view; both eyes share one order. */
  sort(view: View): void {
    const { gl } = this, m = view.matrix;
    const order = this.sorter.sort(this.centres, this.drawn, m[2], m[6], m[10]);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.order);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, order, 0, this.drawn);
  }

  /** Where the body ends softly: the capture's camera, its intrinsics as shares of its picture; null: nowhere. */
  edge: { matrix: Float32Array; frame: [number, number, number, number] } | null = null;

  /** Draw into a framebuffer (null: the canvas) at (x, y), over a background with straight alpha. */
  render(view: View, background: readonly [number, number, number, number], into: WebGLFramebuffer | null, x = 0, y = 0): void {
    const { gl } = this, { draw, compose } = this.programs;
    if (!this.picture || this.picture.width !== view.width || this.picture.height !== view.height) {
      this.picture?.release();
      this.picture = new Target(gl, gl.RGBA16F, view.width, view.height);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.picture.framebuffer);
    gl.viewport(0, 0, view.width, view.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    draw.use();
    ["uCentre", "uFirst", "uSecond", "uThird"].forEach((name, i) => draw.texture(name, i, gl.TEXTURE_2D, this.moved.textures[i]));
    gl.uniformMatrix4fv(draw.at("uView"), false, view.matrix);
    gl.uniformMatrix4fv(draw.at("uCapture"), false, this.edge?.matrix ?? view.matrix);
    gl.uniform4fv(draw.at("uFrame"), this.edge?.frame ?? [0, 0, 0, 0]);
    gl.uniform4fv(draw.at("uIntrinsics"), view.intrinsics);
    gl.uniform2f(draw.at("uSize"), view.width, view.height);
    gl.bindVertexArray(this.array);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.drawn);
    gl.bindVertexArray(null);
    gl.disable(gl.BLEND);
    gl.bindFramebuffer(gl.FRAMEBUFFER, into);
    gl.viewport(x, y, view.width, view.height);
    compose.use();
    compose.texture("uPicture", 0, gl.TEXTURE_2D, this.picture.textures[0]);
    gl.uniform4fv(compose.at("uBackground"), background);
    gl.uniform2i(compose.at("uOrigin"), x, y);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    if (this.drawing) gl.deleteSync(this.drawing);
    this.drawing = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }
}
