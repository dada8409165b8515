import type { WireError } from "../../errors/supermachine-error.ts";
import type { ProgressEvent } from "../../progress/progress.ts";

/** What the conversion thread tells the thread that started it; the last message is "done" or "failed". */
export type RootfsMessage =
  | { readonly kind: "progress"; readonly event: ProgressEvent }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly error: WireError };
