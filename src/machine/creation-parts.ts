import type { Engine, GuestKernel } from "../engine/engine.ts";
import type { LocalImage, PullPolicy } from "../image/image.ts";
import type { ProgressListener } from "../progress/progress.ts";
import type { Home } from "../storage/home.ts";
import type { OpenAgent } from "./agent-hub.ts";

/** What every step of a creation that takes long is told. */
export interface StepOptions {
  readonly home: Home;
  readonly onProgress?: ProgressListener;
  readonly signal: AbortSignal;
}

/** The parts that `createMachine` joins; the tests have doubles. */
export interface CreationParts {
  readonly engines: readonly Engine[];
  readonly openAgent: OpenAgent;
  pullImage(
    source: string,
    options: StepOptions & { platform: string | undefined; policy: PullPolicy },
  ): Promise<LocalImage>;
  /** Returns the path of the image's EROFS file. */
  prepareRootfs(image: LocalImage, options: StepOptions): Promise<string>;
  provideKernel(
    options: StepOptions & { path: string | undefined; architecture: "x64" | "arm64" },
  ): Promise<GuestKernel>;
  /** Module that a detached monitor's process starts with. */
  readonly monitorEntry: URL;
}
