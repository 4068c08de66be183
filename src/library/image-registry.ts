// The public interface of a registry. Types only.
import type { AliasRecord } from '../registry/aliases/aliases.ts';
import type { ImagePage } from '../registry/catalog/list-query.ts';
import type { ListQuery } from '../registry/catalog/query-parts.ts';
import type { CopiedImage } from '../registry/copy-image.ts';
import type { Garbage } from '../registry/lifecycle/image-garbage.ts';
import type { Pruned } from '../registry/lifecycle/prune-images.ts';
import type { RetentionPolicy } from '../registry/lifecycle/retention.ts';
import type { Verified } from '../registry/lifecycle/verify-image.ts';
import type { ImageRecord } from '../registry/record/image.ts';
import type { ImageChanges } from '../registry/record/image-changes.ts';
import type {
  CallOptions,
  ChangeImageOptions,
  CollectGarbageOptions,
  DeleteImageOptions,
  ImageStream,
  ListImagesOptions,
  PresignImageOptions,
  ProgressOptions,
  PruneImagesOptions,
  PullImageOptions,
  QueryImagesOptions,
  ReadImageOptions,
  RemoveAliasOptions,
  RollbackAliasOptions,
  SetAliasOptions,
  VerifyImageOptions,
} from './registry-options.ts';

/**
 * A registry of images in a bucket or a directory. An image is named by its id, the beginning of one
 * (4 characters or more), an alias, or a name that only one image has. Every method rejects with a
 * PublishError.
 */
export interface ImageRegistry {
  /** `s3://bucket/prefix` or a directory. */
  readonly url: string;

  /** Makes one cheap request that shows whether images can be published. @throws REGISTRY */
  checkAccess(options?: CallOptions): Promise<void>;

  /** Returns the newest record. @throws IMAGE_NOT_FOUND, USAGE if several images fit */
  getImage(image: string, options?: CallOptions): Promise<ImageRecord>;

  /** Yields the newest record of each image, by id. @throws REGISTRY */
  listImages(options?: ListImagesOptions): AsyncIterable<ImageRecord>;

  /** Returns one page of the images that the query lets pass. @throws USAGE, REGISTRY */
  queryImages(query: ListQuery, options?: QueryImagesOptions): Promise<ImagePage>;

  /**
   * Writes the data of one disk, or an artefact, to a file, which gets its name only when its digest
   * was verified. A pull that was interrupted is resumed by the next one.
   * @throws IMAGE_STATUS, INTEGRITY, USAGE, REGISTRY, NO_SPACE
   */
  pullImage(image: string, file: string, options?: PullImageOptions): Promise<ImageRecord>;

  /**
   * Returns the data of one disk, or an artefact, as a stream. The digest is verified at the end, and
   * the header of the format is not examined, as `pullImage` does.
   * @throws IMAGE_STATUS, USAGE; the stream fails with INTEGRITY, REGISTRY
   */
  readImage(image: string, options?: ReadImageOptions): Promise<ImageStream>;

  /** Returns a link to the data that needs no credentials; it is a secret. @throws USAGE for a directory */
  presignImage(
    image: string,
    options: PresignImageOptions,
  ): Promise<{ image: ImageRecord; url: string }>;

  /** Changes the record; what is left out stays. @throws IMAGE_NOT_FOUND, USAGE, PRECONDITION_LOST */
  changeImage(
    image: string,
    changes: ImageChanges,
    options?: ChangeImageOptions,
  ): Promise<ImageRecord>;

  /** Takes an image out of use: nothing reads its data. @throws IMAGE_STATUS */
  deactivateImage(image: string, options?: CallOptions): Promise<ImageRecord>;

  /** Puts an image back into use; one that was found damaged is read again first. @throws IMAGE_STATUS, INTEGRITY */
  reactivateImage(image: string, options?: CallOptions): Promise<ImageRecord>;

  /** Reads the data back and compares it; a damaged image is deactivated. @throws IMAGE_STATUS, REGISTRY */
  verifyImage(image: string, options?: VerifyImageOptions): Promise<Verified>;

  /** Deletes the record, then the data. @throws IMAGE_NOT_FOUND, IMAGE_STATUS if it is protected or has an alias */
  deleteImage(image: string, options?: DeleteImageOptions): Promise<ImageRecord>;

  /** Copies an image to another registry, under the same id. @throws INTEGRITY, UPLOAD, REGISTRY */
  copyImage(image: string, target: ImageRegistry, options?: ProgressOptions): Promise<CopiedImage>;

  /** Deletes the images that the policy does not keep. @throws USAGE if it keeps none */
  pruneImages(policy: RetentionPolicy, options?: PruneImagesOptions): Promise<Pruned[]>;

  /** Yields what no record owns. @throws REGISTRY */
  collectGarbage(options: CollectGarbageOptions): AsyncIterable<Garbage>;

  /** Points an alias to an active image, by its id. @throws IMAGE_STATUS, IMAGE_NOT_FOUND, PRECONDITION_LOST */
  setAlias(alias: string, imageId: string, options?: SetAliasOptions): Promise<AliasRecord>;

  /** Removes an alias; its history stays. @throws IMAGE_NOT_FOUND, PRECONDITION_LOST */
  removeAlias(alias: string, options?: RemoveAliasOptions): Promise<AliasRecord>;

  /** Returns what the alias points to; undefined if it points nowhere. @throws USAGE */
  resolveAlias(alias: string, options?: CallOptions): Promise<AliasRecord | undefined>;

  /** Returns every move of the alias, oldest first. @throws IMAGE_NOT_FOUND if it was never set */
  aliasLog(alias: string, options?: CallOptions): Promise<AliasRecord[]>;

  /** Points the alias back to an earlier image. @throws IMAGE_NOT_FOUND, IMAGE_STATUS, PRECONDITION_LOST */
  rollbackAlias(alias: string, options?: RollbackAliasOptions): Promise<AliasRecord>;

  /** Yields all aliases. @throws REGISTRY */
  listAliases(options?: CallOptions): AsyncIterable<AliasRecord>;
}
