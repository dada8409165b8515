// Where a detached machine's process starts.
import { monitorParts } from "./monitor-parts.ts";
import { runDetached } from "./run-detached.ts";

void runDetached(monitorParts);
