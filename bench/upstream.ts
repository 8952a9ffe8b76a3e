/** The upstream of all arms, as a process of its own: stamped deltas, the first at once, lengths that vary. */
import { startSimulator } from "../packages/relay/src/simulator/simulator.ts";

const simulator = await startSimulator({
  seed: 7,
  seenMax: 1,
  script: (request) => {
    const pace = /"user":"rate=(\d+) events=(\d+)-(\d+)"/.exec(request.bodyText);
    if (pace === null) return { text: "ok" };
    return { stampSendTime: true, ratePerSecond: Number(pace[1]), events: [Number(pace[2]), Number(pace[3])], chunking: "whole" };
  },
});
console.log(simulator.port);
process.on("SIGTERM", () => void simulator.close().then(() => process.exit(0)));
