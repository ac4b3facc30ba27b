// The component's looks. A constructed sheet: the page's policy allows no inline styles.

export const STYLE = `
:host { display: block; position: relative; overflow: hidden; min-height: 12rem; contain: content;
  font: 15px/1.4 system-ui, sans-serif; color: var(--ink); background: var(--back);
  --back: #17191d; --ink: #eceef1; --panel: rgb(32 35 41 / .92); --line: rgb(255 255 255 / .16); --accent: #7db4ff; }
:host([theme=light]) { --back: #f2f2ef; --ink: #1b1d21; --panel: rgb(255 255 255 / .94); --line: rgb(0 0 0 / .16); --accent: #1f5fbf; }
:host([hidden]) { display: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; touch-action: none; cursor: grab; }
canvas:active { cursor: grabbing; }
canvas:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.bar { position: absolute; inset: auto 0 max(.8rem, env(safe-area-inset-bottom)); margin: 0 auto; width: fit-content;
  display: flex; gap: .2rem; flex-wrap: wrap; justify-content: center; max-width: calc(100% - 1rem); padding: .35rem;
  border-radius: .8rem; background: var(--panel); border: 1px solid var(--line); }
button, select { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: .5rem;
  min-height: 2.3rem; padding: .2rem .75rem; cursor: pointer; white-space: nowrap; }
select { background: var(--panel); }
button:hover, select:hover { border-color: var(--line); }
button:focus-visible, select:focus-visible, input:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
button[aria-pressed=true] { background: color-mix(in srgb, var(--accent) 28%, transparent); }
button:disabled { opacity: .45; cursor: default; }
.panel { position: absolute; top: .8rem; right: .8rem; bottom: 4.6rem; width: min(19rem, calc(100% - 1.6rem)); overflow: auto;
  padding: .4rem 1rem 1rem; border-radius: .8rem; background: var(--panel); border: 1px solid var(--line); box-sizing: border-box; }
.panel h2 { font-size: 1rem; margin: 1rem 0 .3rem; }
.panel .top { display: flex; justify-content: space-between; align-items: center; position: sticky; top: -.4rem;
  background: var(--panel); margin: 0 -1rem; padding: .4rem 1rem; }
.row { display: grid; grid-template-columns: 9.5rem 1fr; align-items: center; gap: .5rem; font-size: .85rem; }
.row input { width: 100%; accent-color: var(--accent); margin: 0; min-height: 1.7rem; }
.check { display: flex; gap: .5rem; align-items: center; min-height: 2.2rem; }
.check input { accent-color: var(--accent); }
.about { position: absolute; left: 1rem; top: .8rem; max-width: min(26rem, 60%); font-size: .85rem; opacity: .75; pointer-events: none; }
.about b { display: block; font-size: 1rem; }
.message { position: absolute; inset: 0; display: grid; place-items: center; padding: 2rem; text-align: center; background: var(--back); }
.message p { max-width: 34rem; white-space: pre-line; }
.note { position: absolute; left: 50%; bottom: 5rem; transform: translateX(-50%); padding: .5rem 1rem; border-radius: .6rem;
  max-width: calc(100% - 2rem); background: var(--panel); border: 1px solid var(--line); }
[hidden] { display: none !important; }
@media (max-width: 30rem) { .panel { top: auto; max-height: 45%; left: .8rem; width: auto; } .about { max-width: 90%; } }
`;
