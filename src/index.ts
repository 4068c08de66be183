export { PublishError } from './errors.ts';
