// A detached monitor over the fake engine. What it does wrong is in the environment: the parent's test decides.
import { runDetached } from "../run-detached.ts";
import { fakeParts } from "./fake-parts.ts";

const mode = process.env["FAKE_MONITOR"];
if (mode === "dies") process.exit(3);
await runDetached(
  fakeParts({
    panicAtBoot: mode === "panics",
    silent: mode === "hangs",
    snapshots: mode === "makes snapshots",
  }),
);
