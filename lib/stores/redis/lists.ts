import { script } from './script.ts'

/** Lists for people, as sorted sets of ids by the end of their entries: of families, clients, initial access tokens, places. */
export const enterList = script('enter-list')
export const leaveList = script('leave-list')
export const readList = script('read-list')
