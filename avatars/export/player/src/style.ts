// The component's looks. A constructed sheet: the page's policy allows no inline styles.

export const STYLE = `
:host { display: block; position: relative; overflow: hidden; min-height: 12rem; contain: content; color-scheme: dark;
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--back);
  --back: #17191d; --ink: #eceef1; --soft: #a9aeb8; --panel: rgb(30 33 39 / .88); --line: rgb(255 255 255 / .13);
  --hover: rgb(255 255 255 / .09); --accent: #7db4ff; }
:host([theme=light]) { color-scheme: light; --back: #f2f2ef; --ink: #1b1d21; --soft: #5c6068; --panel: rgb(255 255 255 / .9);
  --line: rgb(0 0 0 / .12); --hover: rgb(0 0 0 / .06); --accent: #1f5fbf; }
:host([hidden]) { display: none; }
canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block; touch-action: none; cursor: grab; }
canvas:active { cursor: grabbing; }
canvas:focus { outline: none; }
canvas:focus-visible { outline: 2px solid var(--accent); outline-offset: -2px; }
.bar, .panel, .note { background: var(--panel); border: 1px solid var(--line); backdrop-filter: blur(14px);
  box-shadow: 0 6px 24px rgb(0 0 0 / .18); }
.bar { position: absolute; inset: auto 0 max(.9rem, env(safe-area-inset-bottom)); margin: 0 auto; width: fit-content;
  display: flex; gap: .15rem; max-width: calc(100% - 1rem); padding: .3rem; border-radius: 1.1rem; box-sizing: border-box; }
button, select, input[type=url] { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: .8rem; }
button { cursor: pointer; }
.bar button { display: grid; justify-items: center; gap: .1rem; min-width: 4.4rem; padding: .4rem .5rem .3rem; font-size: .75rem;
  white-space: nowrap; }
svg { width: 1.4rem; height: 1.4rem; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
button:hover, select:hover { background: var(--hover); }
button:focus-visible, select:focus-visible, input:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
button[aria-pressed=true] { background: color-mix(in srgb, var(--accent) 22%, transparent); color: var(--accent); }
.panel { position: absolute; top: .9rem; right: .9rem; bottom: 5.9rem; width: min(20rem, calc(100% - 1.8rem)); box-sizing: border-box;
  border-radius: 1.1rem; display: flex; flex-direction: column; }
.panel header { display: flex; justify-content: space-between; align-items: center; padding: .5rem .5rem .4rem 1.1rem; }
.panel .body { overflow: auto; padding: 0 1.1rem 1rem; overscroll-behavior: contain; scrollbar-width: thin; }
h2 { font-size: 1.05rem; margin: 0; }
h3 { font-size: .75rem; font-weight: 600; letter-spacing: .04em; color: var(--soft); margin: 1.1rem 0 .3rem; }
.round { display: grid; place-items: center; width: 2.4rem; height: 2.4rem; padding: 0; border-radius: 50%; }
.round svg { width: 1.1rem; height: 1.1rem; }
.chips { display: flex; flex-wrap: wrap; gap: .35rem; }
.chips button, .join button, select, input[type=url] { border-color: var(--line); min-height: 2.2rem; padding: .2rem .8rem; font-size: .87rem; }
.row { display: grid; grid-template-columns: 7.5rem 1fr; align-items: center; gap: .6rem; font-size: .87rem; min-height: 2rem; }
.row input { width: 100%; accent-color: var(--accent); margin: 0; min-height: 1.7rem; }
.row select { width: 100%; }
.row:has(input:disabled) { opacity: .45; }
.chips + .row { margin-top: .5rem; }
select option { color: #1b1d21; background: #fff; }
.join { display: flex; gap: .35rem; }
.join input { flex: 1; min-width: 0; }
.check { display: flex; gap: .6rem; align-items: center; min-height: 2.2rem; font-size: .87rem; cursor: pointer; }
.check input { accent-color: var(--accent); width: 1.1rem; height: 1.1rem; margin: 0; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem .8rem; margin: 0; font-size: .87rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
p { margin: 0; font-size: .87rem; color: var(--soft); }
.name { position: absolute; left: 1.1rem; top: .9rem; max-width: min(26rem, 60%); font-size: 1rem; font-weight: 600; pointer-events: none;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; text-shadow: 0 0 8px var(--back); }
.message { position: absolute; inset: 0; display: grid; place-content: center; justify-items: center; gap: .7rem; padding: 2rem;
  text-align: center; background: var(--back); }
.message b { font-size: 1.1rem; }
.message p { max-width: 34rem; font-size: 1rem; white-space: pre-line; }
progress { width: 11rem; height: .3rem; appearance: none; border: 0; border-radius: 1rem; overflow: hidden; background: var(--line); }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
.note { position: absolute; left: 50%; bottom: 6.2rem; transform: translateX(-50%); padding: .55rem 1rem; border-radius: .9rem;
  width: max-content; max-width: calc(100% - 2rem); box-sizing: border-box; }
[hidden] { display: none !important; }
@media (max-width: 34rem) {
  .panel { top: auto; left: .5rem; right: .5rem; width: auto; height: 44%; bottom: 5.4rem; }
  .bar { gap: 0; width: calc(100% - 1rem); justify-content: space-evenly; bottom: max(.6rem, env(safe-area-inset-bottom)); }
  .bar button { min-width: 0; flex: 1; padding: .45rem .1rem .35rem; font-size: .68rem; }
}
@media (prefers-reduced-transparency: reduce) { .bar, .panel, .note { background: var(--back); backdrop-filter: none; } }
`;
