//! Sessions become a rule set, with evidence for each rule. Pure: knows neither the capture file nor the async runtime.
