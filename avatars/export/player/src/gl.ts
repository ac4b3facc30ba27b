// What WebGL2 needs said once: programs, textures, targets.

import { PlayerError } from "./bundle";

export type GL = WebGL2RenderingContext;

/** A context that can blend in half floats and render to full ones. */
export function openGl(canvas: HTMLCanvasElement): GL {
  const options: WebGLContextAttributes & { xrCompatible: boolean } = {
    alpha: true, antialias: false, depth: false, premultipliedAlpha: true, xrCompatible: "xr" in navigator,
  };
  const gl = canvas.getContext("webgl2", options);
  if (!gl)
    throw new PlayerError("This browser offers no WebGL 2. Update it, or turn on hardware acceleration in its settings.");
  if (!gl.getExtension("EXT_color_buffer_float"))
    throw new PlayerError("This device's graphics cannot draw to floating-point textures, which the avatar needs.");
  return gl;
}

/** A linked program and its uniforms by name. */
export class Program {
  private readonly program: WebGLProgram;
  private readonly places = new Map<string, WebGLUniformLocation | null>();

  constructor(private readonly gl: GL, vertex: string, fragment: string) {
    this.program = gl.createProgram()!;
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.linkProgram(this.program);
  }

  /** Make current; the first time, fail if it did not compile. */
  use(): void {
    const { gl, program } = this;
    if (!this.places.size && !gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new PlayerError(`The graphics driver refuses a shader: ${String(gl.getProgramInfoLog(program)).slice(0, 200)}`);
    gl.useProgram(program);
  }

  at(name: string): WebGLUniformLocation | null {
    if (!this.places.has(name)) this.places.set(name, this.gl.getUniformLocation(this.program, name));
    return this.places.get(name)!;
  }

  /** Bind a texture to a unit and name it. */
  texture(name: string, unit: number, target: number, texture: WebGLTexture): void {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(target, texture);
    this.gl.uniform1i(this.at(name), unit);
  }
}

/** A texture of some layers; never filtered, so nothing mixes neighbouring texels. */
export function arrayTexture(gl: GL, format: number, width: number, height: number, layers: number): WebGLTexture {
  const texture = gl.createTexture()!;
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, format, width, height, Math.max(layers, 1));
  gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D_ARRAY, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return texture;
}

/** A framebuffer with its textures. */
export class Target {
  readonly framebuffer: WebGLFramebuffer;
  readonly textures: WebGLTexture[];

  constructor(private readonly gl: GL, format: number, readonly width: number, readonly height: number, count = 1) {
    this.framebuffer = gl.createFramebuffer()!;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.framebuffer);
    this.textures = Array.from({ length: count }, (_, i) => {
      const texture = gl.createTexture()!;
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
      gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + i, gl.TEXTURE_2D, texture, 0);
      return texture;
    });
    gl.drawBuffers(this.textures.map((_, i) => gl.COLOR_ATTACHMENT0 + i));
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE && !gl.isContextLost())
      throw new PlayerError("This device's graphics cannot draw to the textures that the avatar needs.");
  }

  release(): void {
    this.textures.forEach((texture) => this.gl.deleteTexture(texture));
    this.gl.deleteFramebuffer(this.framebuffer);
  }
}
