export type Agent = {
    about?: string;
    cid: string;
    limits: Limits;
    name: string;
    rules: string;
    tools: string[];
};
export type Agents = {
    agents: Agent[];
};
export type Amount = {
    asset: string;
    decimals: number;
    units: string;
};
export type Approval = {
    callers?: string[];
    effect: Ref;
    findings: Finding[];
    message: string;
    name?: string;
    run: string;
    step: string;
    summary?: unknown;
    typed_data: unknown;
    until: number;
};
export type Approvals = {
    approvals: Approval[];
    next?: string;
};
export type Asserted = {
    as: string;
    at: number;
    by: string;
    effect: Ref;
    reason?: string;
    tx?: string;
};
export type Attached = {
    cid: string;
    name?: string;
    size: number;
    type: string;
};
export type Blob = {
    cid: string;
    have: number;
    type?: string;
    until: number;
    whole: boolean;
};
export type Challenge = {
    expires: number;
    message: string;
    nonce: string;
    request_id: string;
};
export type ClientTool = {
    about?: string;
    name: string;
    schema?: unknown;
};
export type Decision = {
    erased?: boolean;
    outcome: string;
    point: string;
    rules?: string[];
    why?: unknown;
};
export type Effect = {
    args?: unknown;
    class?: string;
    code?: string;
    decisions?: Decision[];
    erased?: boolean;
    kind: string;
    marks?: Mark[];
    of?: Ref;
    phase?: string;
    reason?: string;
    retry_after_ms?: number;
    retryable?: boolean;
    route?: Route;
    summary?: unknown;
    text?: string;
    tool?: string;
    totals?: Totals;
    until?: number;
    whose?: string;
};
export type Event = {
    approved?: boolean;
    calls?: ToolAsk[];
    erased?: boolean;
    failed?: string;
    from?: string;
    input?: unknown;
    key?: string;
    kind: string;
    model?: ModelCall;
    of?: Ref;
    output?: unknown;
    restart?: boolean;
    status?: string;
    text?: string;
    took?: number;
    why?: string;
};
export type Finding = {
    kind: string;
    text: string;
    tone: string;
};
export type From = {
    epoch: string;
    seq: number;
};
export type GivenMandate = {
    chain: number;
    delegator: string;
    given: number;
    hash: string;
    manager: string;
    notes: string[];
    revoke: string;
    signed: boolean;
    spent: string;
    state: string;
    text: string;
    token: string;
};
export type GivenMandates = {
    mandates: GivenMandate[];
};
export type Hello = {
    channel: string;
    epoch: string;
    server: string;
    version: string;
};
export type Limits = {
    approve_above?: Amount[];
    approve_if_tainted?: boolean;
    chains?: number[];
    from?: string[];
    hosts?: string[];
    max_calls?: number;
    max_cost_nano?: number;
    max_depth?: number;
    max_per_call?: Amount[];
    max_tokens?: number;
    max_total?: Amount[];
    models?: string[];
    recipients?: string[];
    things?: string[];
};
export type Mandate = {
    authority: string;
    caveats: MandateCaveat[];
    chain: number;
    delegate: string;
    delegator: string;
    salt: string;
    signature: string;
};
export type MandateAsk = {
    mandate: Mandate;
    permission: unknown;
    smart: boolean;
    text: string;
    typed_data: unknown;
};
export type MandateCaveat = {
    args: string;
    enforcer: string;
    terms: string;
};
export type Mark = {
    from: number;
    kind: string;
    text: string;
    to: number;
};
export type ModelCall = {
    answered: string;
    asked: string;
    cost_nano: number;
    evidence: number;
    id?: string;
    name: string;
    provider: string;
    stop?: string;
    tokens_in: number;
    tokens_out: number;
    took?: number;
    ttft?: number;
};
export type None = Record<string, never>;
export type Provenance = {
    car: string;
    head: string;
    keys?: Record<string, string>;
    log?: string;
    receipt?: string;
};
export type Question = {
    choices?: string[];
    of: Ref;
    question: string;
};
export type Ref = {
    index: number;
    seq: number;
};
export type Route = {
    considered?: string[];
    cost_nano: number;
    kind: string;
    model: string;
    rule: string;
};
export type Run = {
    agent: string;
    asked?: string;
    asks?: Question;
    asserted?: Asserted[];
    caller?: string;
    closed?: number;
    cost_nano?: number;
    delegation?: string;
    erased?: boolean;
    forked?: string;
    head?: string;
    last: string;
    moved?: Amount[];
    opened: number;
    outcome?: string;
    rule?: string;
    run: string;
    session: string;
    status: string;
    steps: number;
};
export type RunDelta = {
    after_seq: number;
    place?: number;
    run: string;
    sub: string;
    text: string;
};
export type RunEvent = {
    at: number;
    cid: string;
    decisions?: Decision[];
    does: Effect[];
    epoch: string;
    event: Event;
    run: string;
    seq: number;
    sub: string;
};
export type RunReceipt = {
    head: string;
    receipt: string;
    run: string;
    seq: number;
    sub: string;
};
export type Runs = {
    next?: string;
    runs: Run[];
};
export type Sent = {
    seq: number;
};
export type Session = {
    account: string;
    agent: string;
    device?: string;
    epoch?: string;
    expires: number;
    idle: number;
    key?: string;
    limits?: Limits;
    opened: number;
    origin?: string;
    revocation?: string;
    revoked?: number;
    session: string;
    tools?: string[];
    used?: number;
    uses?: Use[];
};
export type SessionRevoked = {
    session: string;
    why: string;
};
export type Sessions = {
    sessions: Session[];
};
export type Started = {
    run: string;
    seq: number;
};
export type Subscription = {
    epoch: string;
    head: number;
    recovered: boolean;
    sub: string;
};
export type Thread = {
    agent: string;
    asked?: string;
    last: string;
    opened: number;
    runs: number;
    status: string;
    thread: string;
};
export type Threads = {
    next?: string;
    threads: Thread[];
};
export type ToolAsk = {
    args?: unknown;
    tool: string;
};
export type Totals = {
    calls: number;
    cost_nano: number;
    over?: Amount[];
    spent?: Amount[];
    tokens_in: number;
    tokens_out: number;
    turns: number;
};
export type Turn = {
    asked?: string;
    opened: number;
    run: string;
    said?: string;
    status: string;
};
export type Turns = {
    next?: string;
    thread: Thread;
    turns: Turn[];
};
export type Usage = {
    by: string;
    lines: UsageLine[];
    more?: boolean;
    total: UsageLine;
};
export type UsageLine = {
    cached: number;
    calls: number;
    cost: number;
    doubtful: number;
    failed: number;
    in: number;
    of: string;
    out: number;
    runs: number;
};
export type Use = {
    cap: Amount;
    name: string;
    reserved: Amount;
    spent: Amount;
};
export type WalletCall = {
    chain: number;
    data: string;
    effect: Ref;
    from: string;
    parts?: WalletPart[];
    run: string;
    sent?: string;
    summary: unknown;
    text: string;
    to: string;
    tool: string;
    value: string;
};
export type WalletCalls = {
    calls: WalletCall[];
};
export type WalletPart = {
    data: string;
    to: string;
    value: string;
};
/** Every method: what it takes, what it gives, and whether the request is signed. */
export interface Methods {
    /** Answers at once. */
    'ping': {
        params: Record<string, never>;
        result: None;
        access: 'anyone';
    };
    /** Names the channel that signed requests sign; over HTTP without one, opens one. */
    'hello': {
        params: Record<string, never>;
        result: Hello;
        access: 'anyone';
    };
    /** Returns this protocol as an OpenRPC document. */
    'rpc.discover': {
        params: Record<string, never>;
        result: Record<string, unknown>;
        access: 'anyone';
    };
    /** Lists the agents that this server runs. */
    'agent.list': {
        params: Record<string, never>;
        result: Agents;
        access: 'anyone';
    };
    /** Returns the message that a wallet signs to open a session. */
    'session.challenge': {
        params: {
            account: string;
            chain: number;
            key: string;
            agent: string;
            tools?: string[];
            limits?: Limits;
            life?: number;
            uri?: string;
        };
        result: Challenge;
        access: 'anyone';
    };
    /** Opens a session on this channel, a new one or one that is open elsewhere. */
    'session.open': {
        params: {
            message?: string;
            signature?: string;
            session?: string;
            device?: string;
        };
        result: Session;
        access: 'signed';
    };
    /** Keeps the session from ending for want of use; it still ends at its time. */
    'session.renew': {
        params: Record<string, never>;
        result: Session;
        access: 'signed';
    };
    /** Ends a session, or one delegation of it, and cancels what it has under way. */
    'session.revoke': {
        params: {
            session: string;
            delegation?: string;
            reason?: string;
            message?: string;
            signature?: string;
            operator?: boolean;
        };
        result: None;
        access: 'signed or proven';
    };
    /** Lists the wallet's sessions. */
    'session.list': {
        params: Record<string, never>;
        result: Sessions;
        access: 'session';
    };
    /** Starts a run. */
    'run.start': {
        params: {
            agent: string;
            input: string;
            idempotency_key: string;
            thread?: string;
            answer_schema?: unknown;
            client_tools?: ClientTool[];
            attach?: Attached[];
        };
        result: Started;
        access: 'signed';
    };
    /** Starts a run that goes on from a step of another one. */
    'run.fork': {
        params: {
            agent: string;
            input: string;
            idempotency_key: string;
            step: string;
            answer_schema?: unknown;
            client_tools?: ClientTool[];
            attach?: Attached[];
        };
        result: Started;
        access: 'signed';
    };
    /** Says something into a run that goes on: steers it, or answers its question. */
    'run.send': {
        params: {
            run: string;
            text: string;
            idempotency_key: string;
            of?: Ref;
            attach?: Attached[];
        };
        result: Sent;
        access: 'signed';
    };
    /** Puts a piece of a file, which run.start and run.send can then attach. */
    'blob.put': {
        params: {
            cid: string;
            size: number;
            offset: number;
            data?: string;
        };
        result: Blob;
        access: 'signed';
    };
    /** Returns a run's state. */
    'run.get': {
        params: {
            run: string;
        };
        result: Run;
        access: 'session';
    };
    /** Lists the wallet's runs. */
    'run.list': {
        params: {
            limit?: number;
            before?: string;
            agent?: string;
            outcome?: string;
            find?: string;
        };
        result: Runs;
        access: 'session';
    };
    /** Cancels a run; its record stays. */
    'run.cancel': {
        params: {
            run: string;
        };
        result: None;
        access: 'signed';
    };
    /** Says what came of the call of a tool that is the caller's own. */
    'tool.sent': {
        params: {
            run: string;
            effect: Ref;
            output: string;
            failed?: boolean;
        };
        result: None;
        access: 'signed';
    };
    /** Sends a run's events, from any place on. */
    'run.subscribe': {
        params: {
            run: string;
            from?: From;
            window?: number;
        };
        result: Subscription;
        access: 'session';
    };
    /** Ends a subscription. */
    'run.unsubscribe': {
        params: {
            sub: string;
        };
        result: None;
        access: 'session';
    };
    /** Says how far a subscription's events have been dealt with. */
    'run.ack': {
        params: {
            sub: string;
            seq: number;
        };
        result: None;
        access: 'session';
    };
    /** Lists the wallet's threads. */
    'thread.list': {
        params: {
            agent?: string;
            limit?: number;
            cursor?: string;
        };
        result: Threads;
        access: 'session';
    };
    /** Returns what was asked and said in a thread. */
    'thread.get': {
        params: {
            agent: string;
            thread: string;
            limit?: number;
            cursor?: string;
        };
        result: Turns;
        access: 'session';
    };
    /** Gives a thread another name. */
    'thread.rename': {
        params: {
            agent: string;
            thread: string;
            to: string;
        };
        result: None;
        access: 'signed';
    };
    /** Forgets a thread; its runs and their records stay. */
    'thread.delete': {
        params: {
            agent: string;
            thread: string;
        };
        result: None;
        access: 'signed';
    };
    /** Lists the calls that wait for the wallet, 100 at a time: `next` is the cursor of the page after. */
    'approval.list': {
        params: {
            limit?: number;
            cursor?: string;
        };
        result: Approvals;
        access: 'session';
    };
    /** Approves or refuses one call. */
    'approval.decide': {
        params: {
            run: string;
            effect: Ref;
            approve: boolean;
            message?: string;
            signature?: string;
            reason?: string;
            idempotency_key: string;
        };
        result: None;
        access: 'signed';
    };
    /** Lists the transactions that the wallet itself is asked to send. */
    'wallet.list': {
        params: Record<string, never>;
        result: WalletCalls;
        access: 'session';
    };
    /** Says under which hash the wallet has sent one; the chain is believed, and not this. */
    'wallet.sent': {
        params: {
            run: string;
            effect: Ref;
            hash: string;
            idempotency_key: string;
        };
        result: None;
        access: 'signed';
    };
    /** Returns what the wallet signs to let the agent pay from its account, within limits that the chain keeps. */
    'mandate.ask': {
        params: {
            token?: string;
            account?: string;
        };
        result: MandateAsk;
        access: 'session';
    };
    /** Hands over what the wallet has signed for that. */
    'mandate.put': {
        params: {
            mandate?: Mandate;
            context?: string;
        };
        result: GivenMandate;
        access: 'signed';
    };
    /** Lists what was handed over in this session. */
    'mandate.list': {
        params: Record<string, never>;
        result: GivenMandates;
        access: 'session';
    };
    /** Has the server forget one; what the wallet revokes on the chain is over for everybody. */
    'mandate.forget': {
        params: {
            hash: string;
        };
        result: None;
        access: 'signed';
    };
    /** Says where a run's record is, and gives its keys to the owner. */
    'provenance.get': {
        params: {
            run: string;
            keys?: boolean;
        };
        result: Provenance;
        access: 'anyone';
    };
    /** Adds up what the wallet's own runs have cost. */
    'usage.get': {
        params: {
            by?: string;
            since?: number;
        };
        result: Usage;
        access: 'session';
    };
}
export type Code = 'approval_late' | 'approval_wrong' | 'batch' | 'budget_exhausted' | 'chain_unavailable' | 'channel_unknown' | 'conflict' | 'damaged' | 'disconnected' | 'erased' | 'internal' | 'invalid_params' | 'invalid_request' | 'method_not_found' | 'not_found' | 'not_permitted' | 'outcome_unknown' | 'overloaded' | 'parse_error' | 'policy_denied' | 'quota_reached' | 'rate_limited' | 'rules_refused' | 'run_fenced' | 'seq_wrong' | 'session_elsewhere' | 'session_expired' | 'session_required' | 'session_revoked' | 'sign_in_refused' | 'signature_missing' | 'signature_wrong' | 'too_many' | 'user_rejected';
/** Tells the methods whose requests are signed, by their last words. */
export declare const signed: RegExp;
