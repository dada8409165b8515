import type { ByteString, TreeNode } from "../tree.ts";
import type { ChunkPlan } from "./chunk-plan.ts";
import type { DirectoryPlan } from "./directory-plan.ts";
import { COMPACT_SIZE, type DataLayout, EROFS_INODE_FLAT_PLAIN, EROFS_NULL_ADDR } from "./on-disk.ts";
import type { XattrPlan } from "./xattr-plan.ts";

/** What the writer knows about one inode. Filled in by the passes in the order of the fields. */
export class InodeRecord {
  readonly node: TreeNode;
  /** The directory and name under which the inode was met first; the root has neither. */
  readonly parent: InodeRecord | undefined;
  readonly name: ByteString;
  links = 1;
  directory: DirectoryPlan | undefined = undefined;
  xattrs: XattrPlan | undefined = undefined;
  /** COMPACT_SIZE or EXTENDED_SIZE. */
  inodeSize: number = COMPACT_SIZE;
  layout: DataLayout = EROFS_INODE_FLAT_PLAIN;
  chunks: ChunkPlan | undefined = undefined;
  /** Bytes of file data that follow the inode and its xattrs. */
  inlineLength = 0;
  /** Byte offset of the inode in the image. */
  offset = 0;
  /** First block of the data that is not inline. */
  firstBlock: number = EROFS_NULL_ADDR;

  constructor(node: TreeNode, parent: InodeRecord | undefined, name: ByteString) {
    this.node = node;
    this.parent = parent;
    this.name = name;
  }

  /** Absolute path for messages, under the first name. */
  get path(): string {
    const names: string[] = [];
    for (let record: InodeRecord | undefined = this; record.parent !== undefined; record = record.parent)
      names.unshift(record.name);
    return `/${names.join("/")}`;
  }
}
