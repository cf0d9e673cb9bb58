/** Typed data of EIP-712, as the server gives it for an approval. */
export interface TypedData {
    domain: Record<string, unknown>;
    types: Record<string, {
        name: string;
        type: string;
    }[]>;
    primaryType: string;
    message: Record<string, unknown>;
}
/** What signs for an account: a text by personal_sign, and typed data by EIP-712. Both give 0x and hex. */
export interface Signer {
    address: string;
    signMessage(message: string): Promise<string>;
    signTypedData(typed: TypedData): Promise<string>;
}
/** An EIP-1193 provider. */
export interface Provider {
    request(args: {
        method: string;
        params?: unknown[];
    }): Promise<unknown>;
}
/** A viem account, or a viem wallet client with its account. */
export interface ViemSigner {
    address?: string;
    account?: {
        address: string;
    };
    signMessage(args: any): Promise<string>;
    signTypedData(args: any): Promise<string>;
}
/** A signer of ethers 6. */
export interface EthersSigner {
    getAddress(): Promise<string>;
    signMessage(message: string): Promise<string>;
    signTypedData(domain: any, types: any, message: any): Promise<string>;
}
/** An account with a function that signs whatever it is given. */
export interface SigningFunction {
    address: string;
    sign(what: {
        message: string;
    } | {
        typedData: TypedData;
    }): Promise<string>;
}
export type Wallet = Provider | SigningFunction | ViemSigner | EthersSigner;
