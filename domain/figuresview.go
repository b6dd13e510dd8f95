package domain

// FiguresView is figures as clients see them. docs/analytics.md defines each;
// what there was nothing to average of is null. Durations are in milliseconds.
type FiguresView struct {
	TotalConversations         int64    `json:"totalConversations" doc:"Conversations that the agent had, added up over days and agents"`
	ConversationsAccepted      int64    `json:"conversationsAccepted"`
	ConversationsCompleted     int64    `json:"conversationsCompleted"`
	ConversationsReleased      int64    `json:"conversationsReleased" doc:"Given back, also by a lost connection"`
	ConversationsReassignedIn  int64    `json:"conversationsReassignedIn"`
	ConversationsReassignedOut int64    `json:"conversationsReassignedOut"`
	ConversationsReopened      int64    `json:"conversationsReopened" doc:"After the agent had completed them"`
	TotalMessagesSent          int64    `json:"totalMessagesSent"`
	TotalMessagesReceived      int64    `json:"totalMessagesReceived" doc:"While the agent had the conversation"`
	TextsSent                  int64    `json:"textsSent"`
	AvgMessageLengthChars      *float64 `json:"avgMessageLengthChars"`
	FirstResponses             int64    `json:"firstResponses"`
	AvgFirstResponseMs         *float64 `json:"avgFirstResponseMs" doc:"From arrival"`
	AvgFirstFromAssignmentMs   *float64 `json:"avgFirstResponseFromAssignmentMs" doc:"From when the agent took the conversation"`
	Responses                  int64    `json:"responses"`
	AvgResponseTimeMs          *float64 `json:"avgResponseTimeMs"`
	MinResponseTimeMs          *int64   `json:"minResponseTimeMs"`
	MaxResponseTimeMs          *int64   `json:"maxResponseTimeMs"`
	Handled                    int64    `json:"handled"`
	AvgHandleTimeMs            *float64 `json:"avgHandleTimeMs" doc:"From taking a conversation to completing it or giving it away"`
	Waits                      int64    `json:"waits"`
	AvgWaitMs                  *float64 `json:"avgWaitMs" doc:"How long conversations were PENDING before the agent took them"`
	ConcurrentPeak             int64    `json:"concurrentPeak" doc:"The most conversations of one agent at a time"`
	TotalOnlineMinutes         int64    `json:"totalOnlineMinutes"`
}

// View is f as clients see it.
func (f *Figures) View() FiguresView {
	v := FiguresView{
		TotalConversations: f.Conversations, ConversationsAccepted: f.Accepted, ConversationsCompleted: f.Completed,
		ConversationsReleased: f.Released, ConversationsReassignedIn: f.ReassignedIn, ConversationsReassignedOut: f.ReassignedOut,
		ConversationsReopened: f.Reopened, TotalMessagesSent: f.Sent, TotalMessagesReceived: f.Received,
		TextsSent: f.TextLength.Count, AvgMessageLengthChars: f.TextLength.Value(),
		FirstResponses: f.FirstResponse.Count, AvgFirstResponseMs: f.FirstResponse.Value(), AvgFirstFromAssignmentMs: f.FirstAssigned.Value(),
		Responses: f.Response.Count, AvgResponseTimeMs: f.Response.Value(),
		Handled: f.Handle.Count, AvgHandleTimeMs: f.Handle.Value(), Waits: f.Wait.Count, AvgWaitMs: f.Wait.Value(),
		ConcurrentPeak: f.Peak, TotalOnlineMinutes: f.OnlineMinutes,
	}
	if f.Response.Count > 0 {
		v.MinResponseTimeMs, v.MaxResponseTimeMs = new(f.ResponseMin), new(f.ResponseMax)
	}
	return v
}
