// Types of the module that the build compiles from config/schemas/record.json.
import type { SchemaError } from '../../core/schema-error.ts';

export const validate: {
  (record: unknown): boolean;
  /** What is wrong with the last value; null if nothing is. */
  errors?: readonly SchemaError[] | null;
};
