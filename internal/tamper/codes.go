package main

import "github.com/writ-run/writ/agent/audit"

// Short names for the codes of agent/audit, so that the list of vectors reads as a table.
const (
	auditGrantSig      = audit.CodeGrantSignature
	auditGrantMethod   = audit.CodeGrantMethod
	auditGrantTime     = audit.CodeGrantTime
	auditGrantRequest  = audit.CodeGrantRequest
	auditAgent         = audit.CodeGrantAgent
	auditRules         = audit.CodeGrantRules
	auditTool          = audit.CodeCoverTool
	auditTime          = audit.CodeCoverTime
	auditChain         = audit.CodeCoverChain
	auditApprovalSig   = audit.CodeApprovalSignature
	auditApprovalOther = audit.CodeApprovalOther
	auditApprovalLate  = audit.CodeApprovalLate
	auditOutcome       = audit.CodeDecision
	auditWhy           = audit.CodeDecisionWhy
	auditBudget        = audit.CodeDecisionBudget
	auditEffect        = audit.CodeDecisionEffect
	auditEvent         = audit.CodeDecisionEvent
	auditCompile       = audit.CodeDecisionRules
	auditRoute         = audit.CodeDecisionRoute
	auditFacts         = audit.CodeDecisionFacts
	auditTx            = audit.CodeDecisionTx
	auditPrompt        = audit.CodeContextPrompt
	auditTotals        = audit.CodeTotals
	auditCap           = audit.CodeTotalsCap
)
