# ruff: noqa: E501
"""The page inside the panel that hears and plays: microphone, sound files, typed text.

It is a page of its own because viser has no sound, and it is kept in Python so that it travels with the package. Sound
is decoded by the browser, sent as 16-bit PCM, and played when the server has its motion; the page then reports every
80 ms where its loudspeaker is (the context's clock less its output latency), which is what the lips follow, and how
long it takes for a frame, for viser's page throws away pictures that come faster than it unpacks them.
"""

PATH, SOCKET, FILES = "/sound", "/sound/stream", "/sound/file/"

WORKLET = """
class Tap extends AudioWorkletProcessor {
  constructor() { super(); this.kept = []; this.count = 0; }
  process(inputs) {
    const channels = inputs[0];
    if (!channels.length) return true;
    const mono = new Float32Array(channels[0].length);
    for (const c of channels) for (let i = 0; i < c.length; i++) mono[i] += c[i] / channels.length;
    this.kept.push(mono); this.count += mono.length;
    if (this.count >= 960) {                       // 20 ms at 48 kHz
      const out = new Int16Array(this.count); let k = 0;
      for (const m of this.kept) for (const x of m) out[k++] = Math.max(-1, Math.min(1, x)) * 32767;
      this.port.postMessage(out.buffer, [out.buffer]); this.kept = []; this.count = 0;
    }
    return true;
  }
}
registerProcessor('tap', Tap);
"""

PAGE = (
    """<!doctype html><html lang="en"><meta charset="utf-8"><title>Sound</title>
<style>
 :root { color-scheme: dark; } [hidden] { display: none !important; }
 body { margin: 0; padding: 2px 10px; font: 12.5px/1.4 system-ui, sans-serif; color: #c9c9c9; background: transparent; }
 .row { display: flex; gap: 6px; margin: 6px 0; align-items: center; }
 button, select, input[type=text] { font: inherit; color: inherit; background: #2e2e2e; border: 1px solid #424242;
   border-radius: 4px; padding: 4px 9px; min-width: 0; }
 button { cursor: pointer; } button:hover:enabled { background: #3b3b3b; } button:disabled { opacity: .45; cursor: default; }
 .grow { flex: 1; } #level { height: 4px; border-radius: 2px; background: #3a3a3a; overflow: hidden; }
 #bar { height: 100%; width: 0; background: #4dabf7; } #say { color: #909296; min-height: 1.4em; overflow-wrap: anywhere; }
 .on { background: #1864ab !important; border-color: #1864ab; color: #fff; } #say.bad { color: #ff8787; }
</style>
<div class="row"><button id="mic" class="grow" disabled>Microphone</button><button id="pick" class="grow" disabled>Sound file…</button>
<button id="stop" disabled>Stop</button><input id="file" type="file" accept="audio/*,video/*" hidden></div>
<div class="row" id="shelf" hidden><select id="sounds" class="grow"></select><button id="play" disabled>Play</button></div>
<div class="row" id="voice" hidden><input id="text" type="text" class="grow" maxlength="2000"
 placeholder="Type something to say"><button id="speak" disabled>Say</button></div>
<div id="level"><div id="bar"></div></div><div id="say" role="status"></div>
<script>
const $ = id => document.getElementById(id);
let context, tap, source, stream, socket, ready = null, timer = 0, began = 0, job = 0, tapped = false, frame = 0;
function say(text, bad) { $('say').textContent = text; $('say').className = bad ? 'bad' : ''; }
function busy(what) { $('stop').disabled = !what; $('mic').classList.toggle('on', what === 'mic'); }
function tell(note) { if (socket.readyState === 1) socket.send(JSON.stringify(note)); }
function offer(yes) { for (const id of ['mic', 'pick', 'play', 'speak']) $(id).disabled = !yes; }
function connect() {
  socket = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + 'SOCKET');
  socket.binaryType = 'arraybuffer';
  socket.onmessage = e => {
    if (typeof e.data !== 'string') { begin(e.data, 'Speaking'); return; }
    const m = JSON.parse(e.data);
    if (m.is === 'hello') {
      $('voice').hidden = !m.voice; $('shelf').hidden = !m.sounds.length;
      $('sounds').replaceChildren(...m.sounds.map((name, i) => new Option(name, i)));
      if (window.frameElement) frameElement.style.height = document.body.offsetHeight + 14 + 'px';
      say(''); offer(true);
    } else if (m.is === 'ready' && ready) ready(m);
    else if (m.is === 'problem') { halt(false); say(m.text, true); }
    else if (m.is === 'stop') halt(false);
  };
  socket.onclose = () => { halt(false); offer(false); say('The viewer is gone.', true); setTimeout(connect, 2000); };
}
async function audio() {
  if (!context) context = new AudioContext();
  await context.resume();
  return context;
}
function halt(notify = true) {
  job++; ready = null; clearInterval(timer);
  if (source) { source.onended = null; try { source.stop(); } catch (e) {} source.disconnect(); source = null; }
  window.heard = null;
  if (tap) { tap.disconnect(); tap.port.onmessage = null; tap = null; }
  if (stream) { stream.getTracks().forEach(t => t.stop()); stream = null; }
  $('bar').style.width = 0; busy(''); say('');
  if (notify) tell({do: 'stop'});
}
async function microphone() {
  if (stream) { halt(); return; }
  halt(); const mine = job;
  if (!navigator.mediaDevices) { say('The browser gives a microphone to pages of this machine or over https only.', true); return; }
  try {
    const c = await audio();
    const open = await navigator.mediaDevices.getUserMedia({audio: {echoCancellation: true, noiseSuppression: true}});
    if (!tapped) await c.audioWorklet.addModule(URL.createObjectURL(new Blob([`WORKLET`], {type: 'text/javascript'})));
    tapped = true;
    if (mine !== job) { open.getTracks().forEach(t => t.stop()); return; }   // something else was begun meanwhile
    stream = open;
    tell({do: 'microphone', rate: c.sampleRate});
    tap = new AudioWorkletNode(c, 'tap', {numberOfOutputs: 0});
    tap.port.onmessage = e => {
      const pcm = new Int16Array(e.data); let top = 0;
      for (const x of pcm) top = Math.max(top, Math.abs(x));
      $('bar').style.width = Math.min(100, top / 200) + '%';
      if (socket.bufferedAmount < 200000) socket.send(e.data);
    };
    c.createMediaStreamSource(stream).connect(tap);
    busy('mic'); say('Listening');
  } catch (e) {
    halt(false);
    say(e.name === 'NotAllowedError' ? 'The microphone was refused.' : 'No microphone: ' + e.message, true);
  }
}
async function begin(bytes, name) {
  halt(); const mine = job;
  say('Reading ' + name + ' …');
  let sound;
  try { sound = await (await audio()).decodeAudioData(bytes); }
  catch (e) { say('This is not a sound that the browser can read.', true); return; }
  if (sound.duration > 1200) { say('This sound is longer than 20 minutes.', true); return; }
  const offline = new OfflineAudioContext(1, Math.max(1, Math.ceil(sound.duration * 16000)), 16000);
  const feed = offline.createBufferSource(); feed.buffer = sound; feed.connect(offline.destination); feed.start();
  const mono = (await offline.startRendering()).getChannelData(0);
  if (mine !== job) return;
  let started = false;
  const next = async () => { const c = await audio(); if (mine === job && !started) { started = true; play(c, sound, name); } };
  tell({do: 'sound', rate: 16000});
  const step = 16000 * 4; let sent = 0;
  const send = () => {
    if (sent >= mono.length) { tell({do: 'end'}); return; }
    const part = mono.subarray(sent, sent + step); sent += part.length;
    const pcm = new Int16Array(part.length);
    for (let i = 0; i < part.length; i++) pcm[i] = Math.max(-1, Math.min(1, part[i])) * 32767;
    socket.send(pcm.buffer);
  };
  ready = m => { if (mine !== job) return; if (m.until > 3 || m.end) next(); if (!m.end) send(); };
  busy('file'); send();
}
function play(c, sound, name) {
  source = c.createBufferSource(); source.buffer = sound; source.connect(c.destination);
  began = c.currentTime + 0.15; source.start(began); say(name);
  const late = () => (c.outputLatency || 0) + (c.baseLatency || 0);
  const where = () => Math.max(0, Math.min(sound.duration, c.currentTime - began - late()));
  window.heard = where;                            // what is heard at this moment, s
  const whole = window.frameElement ? parent : window, mine = job;
  let last = 0;
  const beat = t => {
    if (last) frame += 0.2 * (Math.min(t - last, 1000) - frame);
    last = t;
    if (mine === job) whole.requestAnimationFrame(beat);
  };
  whole.requestAnimationFrame(beat);
  timer = setInterval(() => {
    tell({do: 'clock', time: where(), playing: c.currentTime >= began, frame});
    $('bar').style.width = 100 * where() / sound.duration + '%';
  }, 80);
  source.onended = () => halt();
}
$('mic').onclick = microphone; $('stop').onclick = () => halt(); $('pick').onclick = () => $('file').click();
$('file').onchange = async () => {
  const f = $('file').files[0]; $('file').value = '';
  if (f) begin(await f.arrayBuffer(), f.name);
};
$('play').onclick = async () => {
  await audio();
  const answer = await fetch('FILES' + $('sounds').value);
  begin(await answer.arrayBuffer(), $('sounds').selectedOptions[0].text);
};
const speak = async () => { await audio(); const text = $('text').value.trim(); if (text) { say('…'); tell({do: 'say', text}); } };
$('speak').onclick = speak; $('text').onkeydown = e => { if (e.key === 'Enter' && !$('speak').disabled) speak(); };
connect();
</script></html>
""".replace("WORKLET", WORKLET)
    .replace("SOCKET", SOCKET)
    .replace("FILES", FILES)
)
