export { freePort } from "../../src/simulator/listen.ts";
