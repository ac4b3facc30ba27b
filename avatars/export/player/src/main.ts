import { Expression, Life } from "./life";
import { AvatarPlayer } from "./player";
import { slowly } from "./sha256";
import { Resampler } from "./sound";
import { newVoice, speak } from "./talk";

// For pages that bring their own sound, or their own clock.
Object.assign(AvatarPlayer, { newVoice, speak, Resampler, Life, Expression, sha256: slowly });
customElements.define("avatar-player", AvatarPlayer);

// The first avatar of the page, for programs: await avatar.ready, then avatar.setCoefficients(…).
const first = () => document.querySelector("avatar-player");
Object.defineProperty(window, "avatar", { get: first, configurable: true });
