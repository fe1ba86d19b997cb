"""Rules that several policies of the tests have."""

# Signals, and replies that were asked for, to whoever they are for.
PASSING = """<allow send_type="signal"/>
<allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/>
<allow receive_type="method_call"/>
<allow receive_type="method_return"/>
<allow receive_type="error"/>
<allow receive_type="signal"/>"""
