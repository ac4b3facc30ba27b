import { AvatarPlayer } from "./player";

customElements.define("avatar-player", AvatarPlayer);

// The first avatar of the page, for programs: await avatar.ready, then avatar.setCoefficients(…).
const first = () => document.querySelector("avatar-player");
Object.defineProperty(window, "avatar", { get: first, configurable: true });
