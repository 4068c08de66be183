// C libraries in this process, called through koffi; its only importer.

/**
 * NOTE: a thread that is ended while it loads this module or a library ends the whole process. A room
 * that starts such a thread calls `watchLoading`.
 */
export { default as koffi } from 'koffi';

/** The address of a C object; it is valid in every thread of this process, and in no other process. */
export type Pointer = bigint;
