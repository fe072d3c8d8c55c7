/** A type while it is put together member by member: on hot paths spreading costs more than all else that is done with it. */
export type Writable<T> = { -readonly [K in keyof T]: T[K] }
