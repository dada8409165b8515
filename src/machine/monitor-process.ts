// Where a detached machine's process starts.
import { defaultParts } from "./default-parts.ts";
import { runDetached } from "./run-detached.ts";

await runDetached(defaultParts);
