import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A home folder for one test. */
export class TemporaryHome implements Disposable {
  readonly root: string = mkdtempSync(join(tmpdir(), "sm-test-"));

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
