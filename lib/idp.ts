export type { SignIn } from './idp/sign-in.ts'
