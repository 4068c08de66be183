// Facts of objects and stores, and the options of every call.

export interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** One object. `etag` is the store's own, without quotes; null if it has none. Sizes in bytes. */
export interface ObjectInfo {
  key: string;
  size: number;
  etag: string | null;
  lastModified: Date | null;
}

/** A bucket as its server knows it. Two of the same `server` can copy between each other. */
export interface StoreLocation {
  server: string;
  bucket: string;
  /** Prefix of every key: empty, or with a slash at its end. */
  prefix: string;
}
