// Types of the module that the build compiles from config/schema.json.
import type { SchemaError } from '../core/schema-error.ts';

export const validate: {
  (values: unknown): boolean;
  /** What is wrong with the last value; null if nothing is. */
  errors?: readonly SchemaError[] | null;
};
