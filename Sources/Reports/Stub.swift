package struct DailyReport: Sendable { package init() {} }
package struct WeeklyReport: Sendable { package init() {} }
